package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"

	"example.com/session/driver"
)

// replyOf returns the text of an error that is an error reply of the server: one of redigo, or one
// of another client, which go-redis marks with a method RedisError.
func replyOf(err error) (text string, ok bool) {
	if err == nil {
		return "", false
	}
	var own redis.Error
	if errors.As(err, &own) {
		return string(own), true
	}
	var foreign interface {
		error
		RedisError()
	}
	if errors.As(err, &foreign) {
		return foreign.Error(), true
	}
	return "", false
}

// isReply reports whether an error is a reply of the server.
func isReply(err error) bool {
	_, ok := replyOf(err)
	return ok
}

// misconfigurations are texts in error replies that mean that the configuration is wrong, and what
// to do about it. They are looked for anywhere, because an error of a command within a script
// stands inside of another text.
var misconfigurations = []struct{ text, advice string }{
	{"NOAUTH", askPassword},
	{"ERR Protocol error: unauthenticated", askPassword}, // in place of NOAUTH, to a long command
	{"WRONGPASS", "the user name or the password is wrong: check Redis.Username and Redis.Password"},
	{"ERR invalid password", "the password is wrong: check Redis.Password"},
	{"ERR AUTH <password> called", "the server has no password: remove Redis.Password"},
	{"NOPERM", grantRights},
	{"The user executing the script can't", grantRights},
	{"ACL failure in script", grantRights},
	{"WRONGTYPE", "a key of the sessions holds a value of another type: set Redis.Namespace to what no other application uses"},
	{"ERR unknown command", "the server lacks a command: redis 6.2 or later is needed, without renamed commands"},
	{"Unknown Redis command", "the server lacks a command: redis 6.2 or later is needed, without renamed commands"},
	{"DENIED Redis is running in protected mode", "the server accepts connections from its own machine only: set a password there and in Redis.Password"},
	{"ERR DB index is out of range", "the server has no such database: check Redis.Options.DB"},
	{"ERR SELECT is not allowed in cluster mode", "a cluster has database 0 only: remove Redis.Options.DB"},
}

const (
	askPassword = "the server asks for a password: set Redis.Password"
	grantRights = "the server's ACL denies a command or key: grant the rights that docs/redis.md lists"
	useGoRedis  = "the server is a node of a cluster: set Redis.Options.Client to a cluster client of module example.com/session/goredis"
)

// classify returns an error of a client as a driver.ErrMisconfigured if only another configuration
// helps, and else as a driver.ErrUnavailable. plain is set for the client of this package, which
// does not follow the redirections of a cluster.
func classify(err error, plain bool) error {
	if err == nil || errors.Is(err, driver.ErrMisconfigured) {
		return err
	}
	text, ok := replyOf(err)
	if !ok {
		return fmt.Errorf("%w: redis: %w", driver.ErrUnavailable, err)
	}
	text = withoutArguments(text)
	if advice := adviceFor(text, plain); advice != "" {
		return fmt.Errorf("%w: redis: %s (%w)", driver.ErrMisconfigured, advice, redis.Error(text))
	}
	return fmt.Errorf("%w: redis: %w", driver.ErrUnavailable, redis.Error(text))
}

// withoutArguments returns the text of an error reply without the arguments of the command: redis
// quotes some for an unknown command, and they may be a session's data.
func withoutArguments(text string) string {
	text, _, _ = strings.Cut(text, ", with args")
	return text
}

// adviceFor returns what to do about an error reply, "" if waiting may help.
func adviceFor(text string, plain bool) string {
	for _, m := range misconfigurations {
		if strings.Contains(text, m.text) {
			return m.advice
		}
	}
	if plain && (strings.HasPrefix(text, "MOVED ") || strings.HasPrefix(text, "ASK ")) {
		return useGoRedis
	}
	return ""
}

// says reports whether an error is a reply that begins with one of the words. Before redis 7 the
// reply to a command of a script stands inside of the reply to the script.
func says(err error, words ...string) bool {
	text, ok := replyOf(err)
	return ok && slices.ContainsFunc(words, func(word string) bool {
		return strings.HasPrefix(text, word) || strings.Contains(text, "-"+word+" ")
	})
}

// fromReplica reports whether an error is the reply of a server that follows another one.
func fromReplica(err error) bool { return says(err, "READONLY", "MASTERDOWN") }
