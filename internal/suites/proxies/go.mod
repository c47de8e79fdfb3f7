module example.com/session/internal/suites/proxies

go 1.25.0

require (
	example.com/session v0.0.0
	github.com/coder/websocket v1.8.15
	github.com/go-chi/chi/v5 v5.5.0
	github.com/gorilla/handlers v1.5.2
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/felixge/httpsnoop v1.0.3 // indirect
	github.com/gomodule/redigo v1.9.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace example.com/session => ../../..
