-- Written by `make crds`; do not edit.
obj.spec.suspend = false
return obj
