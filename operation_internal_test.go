package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

// Counting and timing an operation must not make garbage: every request that uses its session does it.
func TestMeasuringAnOperationAllocatesNothing(t *testing.T) {
	m, err := NewManager(Config{Default: "redis"})
	require.NoError(t, err)
	s := &Session{request: &requestState{Context: t.Context(), manager: m}, source: m.main}
	id := driver.NewID()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, b := s.begin(s.request.Context, opLoad, id)
		_ = s.answered(opLoad, id, b, nil)
	}))
	assert.Positive(t, m.Stats().Drivers["redis"].LoadTimes.Sum)
}
