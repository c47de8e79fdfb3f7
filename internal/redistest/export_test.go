package redistest

var (
	Run        = run
	IsOurs     = isOurs
	ModulePath = modulePath
)

// Launch is Start without a test: what it returns is stopped by nobody.
func Launch() (*Server, error) { return launch(randomPort, nil) }

// LaunchOn is Launch on the first of ports that is free.
func LaunchOn(ports func() int) (*Server, error) { return launch(ports, nil) }

// Remove is what Start leaves to the test's end.
func (s *Server) Remove() { s.remove() }
