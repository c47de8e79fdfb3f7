// Package e2e holds the tests that drive examples/demo in a real browser: Debian's chromium,
// headless, on each driver. `go test` in this directory builds the demo, starts it, and writes
// pictures of its pages to screenshots/, which git ignores.
//
// They need chromium, redis-server and npm, which fetches axe-core; what is missing is a failure
// that says what to install.
package e2e
