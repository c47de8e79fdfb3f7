package session_test

// This file reads sealed cookies by docs/format.md alone, and shares no code with the library.

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
)

var number = binary.BigEndian.Uint64

// openByTheBook returns the packed record in a cookie and its entries, nil where it is refused.
func openByTheBook(secrets []string, name, cookie string, now uint64) (record []byte, entries map[string]string) {
	wire, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || strings.ContainsAny(cookie, "\r\n") || len(cookie) > 4096 || len(wire) < 45 || wire[0] != 1 {
		return nil, nil
	}
	const idText = "session: sealed cookie key id v1"
	i := slices.IndexFunc(secrets, func(s string) bool { return string(derive(s, idText, 4)) == string(wire[1:5]) })
	if i < 0 {
		return nil, nil
	}
	block, _ := aes.NewCipher(derive(secrets[i], "session: sealed cookie key v1", 32))
	k1 := make([]byte, 16)
	block.Encrypt(k1, k1)
	high, low := number(k1), number(k1[8:])
	k1 = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, high<<1|low>>63), low<<1^(high>>63)*0x87)
	x1, x2 := append([]byte{0, 1, 'X', 0}, wire[5:17]...), append([]byte{0, 2, 'X', 0}, wire[5:17]...)
	for _, x := range [][]byte{x1, x2} {
		subtle.XORBytes(x, x, k1)
		block.Encrypt(x, x)
	}
	block, _ = aes.NewCipher(append(x1, x2...))
	gcm, _ := cipher.NewGCM(block)
	record, err = gcm.Open(nil, wire[17:29], wire[29:], append(wire[:5:5], name...))
	if err != nil || len(record) < 51 || max(number(record[18:]), number(record[26:])) > now+60_000 {
		return nil, nil
	}
	return record, parseByTheBook(record)
}

func derive(secret, info string, length int) []byte {
	key, _ := hkdf.Key(sha256.New, []byte(secret), nil, info, length)
	return key
}

// parseByTheBook returns the encoded values under "f:" or "v:" and their keys; whole is set at the
// end of the flash part, without which a record is none.
func parseByTheBook(r []byte) (whole map[string]string) {
	if r[0] != 1 || r[1] > 3 || r[50] > 8 || len(r) < 51+8*int(r[50]) ||
		max(number(r[18:]), number(r[26:])) > 1<<52 || max(number(r[34:]), number(r[42:])) > 9_223_372_036_854 {
		return nil
	}
	rest := r[51+8*int(r[50]):]
	entries, part, extra, last := map[string]string{}, "f:", 16, ""
	account := 0 // where what follows the account part begins, counted from the end
	if r[1]&2 != 0 {
		if len(rest) < 3 {
			return nil
		}
		size := int(rest[0])<<8 | int(rest[1])
		if account = len(rest) - 2 - size; size == 0 || size > 4096 || account < 0 {
			return nil
		}
		rest, part, extra = rest[2:], "a:", 0
	}
	for len(rest) > 0 {
		if part == "a:" && len(rest) <= account {
			if len(rest) < account {
				return nil
			}
			part, extra, last = "f:", 16, ""
		}
		n := int(rest[0])
		if rest = rest[1:]; n == 0 && part == "f:" {
			whole, part, extra, last = entries, "v:", 0, ""
			continue
		}
		if n == 0 || len(rest) < n+extra || string(rest[:n]) <= last || extra > 0 && number(rest[n+8:]) > 1<<52 {
			return nil
		}
		last, rest = string(rest[:n]), rest[n+extra:]
		size, width := binary.Uvarint(rest)
		if width <= 0 || width > 5 || width > 1 && rest[width-1] == 0 || size > uint64(len(rest)-width) {
			return nil
		}
		entries[part+last], rest = string(rest[width:width+int(size)]), rest[width+int(size):]
	}
	return whole
}
