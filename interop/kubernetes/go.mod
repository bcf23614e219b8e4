module github.com/amahi/spdy/interop/kubernetes

go 1.26.0
