"""The machinery between watches and calls: store, work queue, a poller and a submitter per account, the controller."""
