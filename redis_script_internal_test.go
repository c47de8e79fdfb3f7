package session

import (
	"crypto/sha1"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A script under another name would be sent whole with every command.
func TestRedisScriptIsNamedByItsSHA1(t *testing.T) {
	for name, script := range map[string]RedisScript{
		"load": loadScript, "apply": applyScript, "create": createScript,
		"retire": retireScript, "destroy": destroyScript, "remove": removeScript,
		"peek": peekScript, "enroll": enrollScript, "withdraw": withdrawScript,
		"members": membersScript, "ending": endingScript,
	} {
		sum := sha1.Sum([]byte(script.Source))
		assert.Equal(t, hex.EncodeToString(sum[:]), script.SHA, "%s: the script was edited; this is its name now", name)
	}
}
