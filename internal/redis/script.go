package redis

import (
	"context"
	"embed"
)

// A script is a Lua script that works on one key, so that a cluster runs it too.
type script struct {
	sha1   string // what EVALSHA calls it; a constant, because GODEBUG=fips140=only refuses crypto/sha1
	source string
}

var (
	swapScript      = newScript("swap.lua", "ba179e1435a8feaccc1bd01058984de83f6976f5")
	readScript      = newScript("read.lua", "e0830a9375fbb0afc35a5a6f4f65957c81eceddb")
	enterScript     = newScript("enter.lua", "d099d2d809a3ce2d1c33fa634832530f3f0496ee")
	removeScript    = newScript("remove.lua", "6803d5c91b0694b1a97bd3bb71ae13f3e31bdd6b")
	listScript      = newScript("list.lua", "261f3bf0ebdfb37e069af128fb7c7d8813702aa9")
	endBeforeScript = newScript("endbefore.lua", "444a5aed1bcb5798ccd31666ff9162c462f7d711")
)

//go:embed *.lua
var sources embed.FS

func newScript(file, sha1 string) script {
	source, err := sources.ReadFile(file)
	if err != nil {
		panic(err) // the name is wrong
	}
	return script{sha1, string(source)}
}

// eval runs a script on a key: by its name, or by its text if the server does not know it yet.
func (d *Driver) eval(ctx context.Context, s script, key string, args ...any) (any, error) {
	command := make([]any, 4, 4+len(args))
	command[0], command[1], command[2], command[3] = "EVALSHA", s.sha1, "1", key
	command = append(command, args...)
	reply, err := d.do(ctx, command...)
	if !says(err, "NOSCRIPT") {
		return reply, err
	}
	for _, arg := range args {
		if v, ok := arg.(*sentValue); ok {
			v.sent.Add(-1) // it was sent and not run
		}
	}
	command[0], command[1] = "EVAL", s.source
	return d.do(ctx, command...)
}
