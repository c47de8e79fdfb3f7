package redis

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// While there are enough slots, no two operations share one, also if they choose at the same moment.
func TestOperationsThatChooseAtOnceShareNoFreeSlot(t *testing.T) {
	const operations = 8
	for range 2000 {
		p := newPool(Config{Connections: operations}, nil)
		var choosing sync.WaitGroup
		for range operations {
			choosing.Go(func() { p.choose() })
		}
		choosing.Wait()
		for i := range p.slots {
			assert.EqualValues(t, 1, p.slots[i].users.Load(), "users of slot %d", i)
		}
	}
}
