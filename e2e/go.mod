module example.com/session/e2e

go 1.25.0

require (
	example.com/session v0.0.0-00010101000000-000000000000
	example.com/session/importers/scs v0.0.0-00010101000000-000000000000
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/chromedp/cdproto v0.159.0
	github.com/chromedp/chromedp v0.23.0
	github.com/coder/websocket v1.8.15
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gomodule/redigo v1.9.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace example.com/session => ..

replace example.com/session/importers/scs => ../importers/scs/
