package drivertest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"example.com/session/driver"
)

func testMissingKey(t testing.TB, s *storeKit) {
	for _, key := range []string{newKey(), "user:" + newUser()} {
		s.holds(t, key, nil, ruleNone, "of a key that was never stored")
		s.put(t, key, state("x"), time.Hour)
	}
}

func testStoreBytes(t testing.TB, s *storeKit) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for what, payload := range map[string]string{
		"every byte": string(all), "zero bytes": "\x00\x00a\x00", "zero bytes at the end": "a\x00\x00",
		"no UTF-8": "\xff\xfe\xc3(", "white space": " \r\n\t \n", "quotes": `'"\%s%`, "JSON": `{"a":1}`,
		"nothing more": "", "a mebibyte": strings.Repeat("\x00\xff\r\n", 1<<18),
	} {
		key, data := newKey(), state(payload)
		s.put(t, key, data, time.Hour)
		s.holds(t, key, data, ruleBytes, "after an Update with "+what)
	}
}

// testStoreKeys stores under keys of every length and character that StoreDriver uses.
func testStoreKeys(t testing.TB, s *storeKit) {
	id, user := driver.NewID().String()[:11], newUser()
	keys := []string{
		id + "abcdefghijk", id + "ABCDEFGHIJK", id + "abcdefghijK", id + "abcdefghij-", id + "abcdefghij_",
		id + "-----------", id + "___________", "-" + id + "abcdefghij", "_" + id + "abcdefghij",
		"user:" + user, "user:" + swapCase(user), "user:" + user[:42] + ":", user[:22], user[:21] + ":",
	}
	data := make([][]byte, len(keys))
	for i, key := range keys {
		data[i] = state(key)
		s.put(t, key, data[i], time.Hour)
	}
	for i, key := range keys {
		s.holds(t, key, data[i], ruleKeys, fmt.Sprintf("under the key %q, beside keys like it", key))
	}
}

func testStoreReplaces(t testing.TB, s *storeKit) {
	key := newKey()
	for i := range 20 {
		data := state(strings.Repeat("x", (i*7)%20))
		s.put(t, key, data, time.Hour)
		s.holds(t, key, data, ruleReplace, "after an Update that replaced data")
	}
}

func testChangeError(t testing.TB, s *storeKit) {
	key, data, refusal := newKey(), state("kept"), errors.New("refused by change")
	for _, was := range [][]byte{nil, data} {
		for _, entry := range []driver.Entry{{}, newEntry(state("lost"), time.Hour)} {
			err := s.Update(s.ctx, key, func([]byte) (driver.Entry, error) { return entry, refusal })
			if !errors.Is(err, refusal) {
				broken(t, ruleError, "change returned the error %q, Update returned %v", refusal, err)
			}
			s.holds(t, key, was, ruleError, "after change returned an error")
		}
		s.put(t, key, data, time.Hour)
	}
}

func testNoData(t testing.TB, s *storeKit) {
	key, data := newKey(), state("kept")
	for _, was := range [][]byte{nil, data} {
		err := s.Update(s.ctx, key, func([]byte) (driver.Entry, error) { return driver.Entry{}, nil })
		if err != nil {
			broken(t, ruleNoData, "Update returned the error %q", err)
		}
		s.holds(t, key, was, ruleNoData, "after change returned an Entry without Data")
		s.put(t, key, data, time.Hour)
	}
}

func testKeptBytes(t testing.TB, s *storeKit) {
	one, two := newKey(), newKey()
	data := state("the first value")
	s.put(t, one, bytes.Clone(data), time.Hour)
	kept, err := s.Get(s.ctx, one)
	require.NoError(t, err)
	s.put(t, one, state("THE OTHER VALUE"), time.Hour)
	s.put(t, two, state("of another key"), time.Hour)
	for _, key := range []string{one, two} {
		_, err = s.Get(s.ctx, key)
		require.NoError(t, err)
	}
	if !bytes.Equal(kept, data) {
		broken(t, ruleKept, "after an Update and a Get, the bytes that an earlier Get had returned became %s, from %s",
			short(kept), short(data))
	}
}

func testStorePing(t testing.TB, s *storeKit) {
	if pinger, ok := s.Store.(driver.Pinger); ok {
		if err := pinger.Ping(s.ctx); err != nil {
			broken(t, rulePing, "Ping returned the error %q", err)
		}
	}
}
