module example.com/session/internal/wstest

go 1.25.0

require (
	example.com/session v0.0.0
	github.com/coder/websocket v1.8.15
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/gomodule/redigo v1.9.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace example.com/session => ../..
