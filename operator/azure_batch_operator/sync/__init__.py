"""The machinery between watching and calling: store, work queue, a poller and a submitter per account, the controller."""
