// Package e2e holds the tests that drive examples/demo in a real browser: Debian's chromium,
// headless, on each driver. The tests of flash and of cookies use firefox-esr, too. There are also tests
// of htmx and Turbo, with the applications of examples/frameworks. `go test` in this directory builds the demo, starts it, and writes
// screenshots of its pages to screenshots/, which git ignores.
//
// They need chromium, firefox-esr, redis-server and npm, which fetches axe-core, htmx and Turbo. If one of them is missing, the
// tests fail and say what to install.
package e2e
