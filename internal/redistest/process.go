package redistest

import "example.com/session/internal/process"

// stop asks the server to end. A paused one gets the signal when it goes on. The caller holds mu.
func (s *Server) stop() {
	_ = resume(s.proc) // an error means that it is gone already
	_ = s.proc.Stop(sigTerminate, stopLimit)
}

// pause returns once the process stands still.
func pause(p *process.Process) error {
	if err := p.Signal(sigPause); err != nil {
		return err
	}
	return awaitPaused(p.PID())
}

func resume(p *process.Process) error { return p.Signal(sigResume) }
