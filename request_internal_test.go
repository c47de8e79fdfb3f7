package session

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// Every request allocates one, also if it does not use its session. Above 1024 bytes the runtime takes 1152.
func TestStateOfARequestFitsItsSizeClass(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(requestState{}), uintptr(1024))
}
