package e2e_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Java's own client sends cookies back in quotes and with $Version (RFC 2965) unless they have Expires.
func TestClientOfJavaSignsInAndOut(t *testing.T) {
	eachDriver(t, setup{}, func(t *testing.T, s *site) {
		var failure bytes.Buffer
		const sparing = "-XX:TieredStopAtLevel=1" // what runs for a second is not worth optimizing
		java := exec.CommandContext(t.Context(), "java", sparing, "-XX:+UseSerialGC", "testdata/Client.java", s.url)
		java.Stderr = &failure
		out, err := java.Output()
		require.NoError(t, err, failure.String())
		assert.Equal(t, []string{"nobody", "Ann", "Ann", "Ann", "nobody", "nobody"}, strings.Fields(string(out)))
	})
}
