module github.com/amahi/spdy/interop

go 1.26.0

require (
	github.com/amahi/spdy v0.0.0
	github.com/moby/spdystream v0.5.1
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.62.0
)

require (
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/text v0.44.0 // indirect
)

replace github.com/amahi/spdy => ..
