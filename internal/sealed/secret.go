package sealed

import (
	"fmt"
	"slices"
	"strings"
)

const (
	minSecret   = 32 // bytes; 256 bits if they are random (ASVS 11.2.3)
	minDistinct = 8  // different bytes
)

// samples are texts of samples, templates and tutorials, in lower case, letters and digits only.
// None is shorter than seven characters, so that a random secret practically never contains one.
var samples = []string{
	"changeme", "changethis", "replaceme", "yoursecret", "placeholder", "example", "password",
	"mysecret", "supersecret", "secretkey", "keyboardcat", "01234567", "abcdefgh",
}

// CheckSecret returns an error if the secret in the named field is easy to guess. Whoever knows the
// secret can forge every session. The check finds common mistakes only; it cannot tell that a
// secret is random. The error contains nothing of the secret.
func CheckSecret(field, secret string) error {
	problem := ""
	switch {
	case len(secret) < minSecret:
		problem = fmt.Sprintf("%d bytes are too short for a secret, at least %d are needed",
			len(secret), minSecret)
	case distinctBytes(secret) < minDistinct:
		problem = "this secret has too few different characters"
	case isSample(secret):
		problem = "this secret is a sample or a placeholder, which others know too"
	default:
		return nil
	}
	return fmt.Errorf("session: %s: %s; "+
		"make one with `head -c 32 /dev/urandom | base64` or session.NewSecret", field, problem)
}

func distinctBytes(s string) int {
	b := []byte(s)
	slices.Sort(b)
	return len(slices.Compact(b))
}

// isSample reports whether s contains one of the samples, in any letter case and punctuation.
func isSample(s string) bool {
	folded := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return slices.ContainsFunc(samples, func(sample string) bool {
		return strings.Contains(folded, sample)
	})
}
