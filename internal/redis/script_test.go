package redis

import (
	"crypto/sha1"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A script under another name would be sent whole with every command.
func TestScriptIsNamedByItsSHA1(t *testing.T) {
	for name, s := range map[string]script{
		"swap": swapScript, "read": readScript, "enter": enterScript, "remove": removeScript,
		"list": listScript, "endbefore": endBeforeScript,
	} {
		sum := sha1.Sum([]byte(s.source))
		assert.Equal(t, hex.EncodeToString(sum[:]), s.sha1, "%s.lua was edited; this is its name now", name)
	}
}
