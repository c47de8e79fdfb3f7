// Package proxies holds the tests of the configurations in docs/proxies.md: each file in testdata runs
// in Debian's nginx, HAProxy, Apache, Caddy or Varnish, in front of an application on this library.
//
// If one of the programs is missing, the tests fail and say what to install.
package proxies
