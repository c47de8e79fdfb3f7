//go:build race

package frameworks_test

func init() { buildFlags = append(buildFlags, "-race") }
