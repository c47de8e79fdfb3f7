// Demo is a small web application that shows the whole library: notes kept in the session, flash
// messages, a new token at sign-in, several drivers side by side, parallel requests, and a picture
// of the cookies that browser and server exchange.
//
//	go run ./examples/demo                    sessions in this process
//	go run ./examples/demo -driver cookie     sessions in encrypted cookies
//	go run ./examples/demo -driver redis      sessions in redis on 127.0.0.1:6379
//	go run ./examples/demo -config file.json  sessions as the file says
//
// With -metrics 127.0.0.1:9091 it also serves metrics for Prometheus there, and logs events.
//
// It prints the address to open. With -tls it serves HTTPS with a self-signed certificate, which
// browsers warn about, and the names of its cookies begin with __Host-s_.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"example.com/session"
)

func main() {
	driver := flag.String("driver", "", "where sessions are kept: memory, cookie or redis (default memory, or as -config says)")
	file := flag.String("config", "", "a configuration file for session.LoadConfig")
	address := flag.String("address", "127.0.0.1:8080", "where to listen")
	secure := flag.Bool("tls", false, "serve HTTPS with a self-signed certificate")
	metrics := flag.String("metrics", "", "the address of metrics for Prometheus, such as 127.0.0.1:9091; events are then logged too")
	if flag.Parse(); flag.NArg() > 0 {
		log.Fatalf("unknown argument %q: -h lists the flags", flag.Arg(0))
	}
	if err := run(*driver, *file, *address, *metrics, *secure); err != nil {
		log.Fatal(err)
	}
}

func run(driver, file, address, metricsAddress string, secure bool) error {
	cfg, err := configure(driver, file, secure)
	if err != nil {
		return err
	}
	seen := &metrics{events: make(map[string]uint64)}
	if metricsAddress != "" {
		cfg.Events = seen.observe
	}
	a, err := newApp(cfg)
	if err != nil {
		return err
	}
	defer a.manager.Close()
	if metricsAddress != "" {
		seen.manager = a.manager
		metricsServer, err := seen.serve(metricsAddress)
		if err != nil {
			return err
		}
		defer metricsServer.Close()
	}
	if err := ping(a.manager); err != nil {
		log.Printf("the session store is unavailable, and pages that use a session answer 503 until it is back: %v", err)
	}
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return serve(server, listener, secure)
}

// ping asks the drivers in use, for a second.
func ping(m *session.Manager) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return m.Ping(ctx)
}

// configure reads the file, if there is one, and applies the flags to it.
func configure(driver, file string, secure bool) (cfg session.Config, err error) {
	cfg.Default = "memory"
	if file != "" {
		if cfg, err = session.LoadConfig(file); err != nil {
			return cfg, err
		}
	}
	if driver != "" {
		cfg.Default = driver
	}
	if cfg.Default == "" {
		cfg.Default = "cookie" // the default of NewManager
	}
	if cfg.Default == "cookie" && cfg.Cookie.Revocation == "" {
		cfg.Cookie.Revocation = "memory" // lists and ends sign-ins; several processes would use redis
	}
	if cfg.Secret == "" {
		cfg.Secret = os.Getenv("SESSION_SECRET")
	}
	if cfg.Secret == "" {
		cfg.Secret = session.NewSecret()
		log.Print("SESSION_SECRET is not set: using a random one, so encrypted cookies open nothing after this program ends")
	}
	if cfg.CookieAttributes.Prefix == "" {
		cfg.CookieAttributes.Prefix = "s_"
		if secure {
			cfg.CookieAttributes.Prefix = "__Host-s_" // browsers accept it from this host only
		}
	}
	cfg.Passive = func(r *http.Request) bool { return r.URL.Path == pollPath }
	return cfg, nil
}

// serve runs until the process is told to end, and lets the requests under way finish.
func serve(server *http.Server, listener net.Listener, secure bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		if !secure {
			log.Printf("serving http://%s (Ctrl-C ends it)", listener.Addr())
			ended <- server.Serve(listener)
			return
		}
		config, err := selfSigned()
		if err != nil {
			ended <- err
			return
		}
		server.TLSConfig = config
		log.Printf("serving https://%s (Ctrl-C ends it)", listener.Addr())
		ended <- server.ServeTLS(listener, "", "")
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}
