package session

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// Every request allocates one, also if it does not use its session. With the header of 8 bytes that the
// runtime adds, it fits a size class of 1024 bytes. The next one has 1152.
func TestStateOfARequestFitsItsSizeClass(t *testing.T) {
	assert.LessOrEqual(t, unsafe.Sizeof(requestState{}), uintptr(1024-8))
}
