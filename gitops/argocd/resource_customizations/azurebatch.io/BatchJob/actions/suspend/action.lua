-- Written by `make crds`; do not edit.
obj.spec.suspend = true
return obj
