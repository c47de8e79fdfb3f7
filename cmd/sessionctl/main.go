// Sessionctl shows, lists, counts and ends the sessions that an application keeps in redis. It is
// for operators. It shows the values of a session, but never a token, a secret or a hash of one.
//
//	sessionctl [flags] show HANDLE      show one session
//	sessionctl [flags] list USER        list the sessions that a user is signed in with
//	sessionctl [flags] end USER HANDLE  end one of them
//	sessionctl [flags] end-all USER     end all of them, and make running sign-ins fail
//	sessionctl [flags] count            count sessions, ended sessions and users
//
// A handle is the public name of a session in logs, events and lists. It has 22 characters.
//
// The exit code is 0 for success, 1 for a failure, 2 for a wrong command line, and 3 if there is no
// such session.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"example.com/session"
	"example.com/session/driver"
)

// The exit codes.
const (
	done = iota
	failed
	misused
	notFound
)

const usage = `usage: sessionctl [flags] COMMAND

  show HANDLE      show one session
  list USER        list the sessions that a user is signed in with
  end USER HANDLE  end one of them
  end-all USER     end all of them, and make running sign-ins fail
  count            count sessions, ended sessions and users

flags:
`

// urlVariable has the URL in the environment. Command lines are shown to other users of a machine.
const urlVariable = "SESSION_REDIS_URL"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv(urlVariable), os.Stdout, os.Stderr))
}

// A tool is one run of the program.
type tool struct {
	url, namespace, prefix, ca string
	timeout                    time.Duration
	json                       bool

	out     io.Writer
	driver  session.Driver
	manager *session.Manager
}

// A command is what the program can do.
type command struct {
	args int
	run  func(t *tool, ctx context.Context, args []string) error
}

var commands = map[string]command{
	"show":    {1, (*tool).show},
	"list":    {1, (*tool).list},
	"end":     {2, (*tool).end},
	"end-all": {1, (*tool).endAll},
	"count":   {0, (*tool).count},
}

// run runs the program and returns its exit code. url is used if the arguments have none.
func run(ctx context.Context, args []string, url string, stdout, stderr io.Writer) int {
	t := &tool{out: stdout}
	flags := t.flags(stderr)
	err := flags.Parse(args)
	args = flags.Args() // what follows the command is no flag: handles may begin with "-"
	switch {
	case errors.Is(err, flag.ErrHelp):
		return done
	case err != nil: // package flag has said why
		return misused
	case len(args) == 0:
		flags.Usage()
		return misused
	}
	name, args := args[0], args[1:]
	c, known := commands[name]
	switch {
	case !known:
		fmt.Fprintf(stderr, "sessionctl: unknown command %q: sessionctl -h lists the commands\n", name)
		return misused
	case len(args) != c.args:
		fmt.Fprintf(stderr, "sessionctl: %s takes %d arguments, not %d; flags go before the command: see sessionctl -h\n", name, c.args, len(args))
		return misused
	}
	if t.url == "" {
		t.url = url
	}
	err = t.open()
	if err == nil {
		defer t.close()
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		err = c.run(t, ctx, args)
	}
	if err != nil {
		fmt.Fprintf(stderr, "sessionctl: %v\n", err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	var wrong usageError
	switch {
	case err == nil:
		return done
	case errors.As(err, &wrong):
		return misused
	case errors.Is(err, session.ErrNoSession), errors.Is(err, session.ErrEnded):
		return notFound
	}
	return failed
}

// A usageError says what is wrong with the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

func (t *tool) flags(stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet("sessionctl", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&t.url, "url", "", "`URL` of redis, such as rediss://user:password@host:6379/1\n"+
		"(default $"+urlVariable+", or redis://127.0.0.1:6379)")
	f.StringVar(&t.namespace, "namespace", "", "RedisConfig.Namespace of the application")
	f.StringVar(&t.prefix, "prefix", "s_", "CookieAttributes.Prefix of the application, for list, end and end-all")
	f.StringVar(&t.ca, "tls-ca", "", "PEM `file` with root certificates, for rediss://")
	f.DurationVar(&t.timeout, "timeout", time.Minute, "how long the command may take")
	f.BoolVar(&t.json, "json", false, "print JSON")
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	return f
}

// longest is the longest limit that a session may have: no session is hidden because the
// application's limits are longer than those of this program.
const longest = 400 * 24 * time.Hour

// open makes a manager for the application's sessions in redis, and for those in cookies that
// CookieConfig.Revocation checks there.
func (t *tool) open() (err error) {
	if t.timeout <= 0 {
		return usageError("-timeout must be positive")
	}
	cfg := session.Config{
		Default: "redis", Lifetime: longest, IdleTimeout: longest, Secret: session.NewSecret(),
		Cookie:           session.CookieConfig{Revocation: "redis"},
		CookieAttributes: session.CookieAttributes{Prefix: t.prefix, Secure: session.SecureAlways},
		Redis:            session.RedisConfig{URL: t.url, Namespace: t.namespace},
		Logger:           slog.New(slog.DiscardHandler),
	}
	cfg.Redis.Options.TLSCA, cfg.Redis.Options.DialTimeout = t.ca, 5*time.Second // an operator may be far away
	cfg.Redis.Options.ClientName = "sessionctl"
	if t.manager, err = session.NewManager(cfg); err != nil {
		return usageError(err.Error())
	}
	t.driver, err = session.NewRedisDriver(cfg.Redis)
	return err
}

func (t *tool) close() {
	t.manager.Close()
	if c, ok := t.driver.(io.Closer); ok {
		c.Close()
	}
}

// parseHandle reads a handle. The error does not repeat what may be a token.
func parseHandle(text string) (driver.ID, error) {
	id, ok := driver.ParseID(text)
	if !ok {
		return id, usageError(fmt.Sprintf("a handle has 22 characters, but this text of %d is not a handle: logs, events and "+
			"`sessionctl list` show handles; the value of a cookie is a token, and must not be shown to anybody", len(text)))
	}
	return id, nil
}
