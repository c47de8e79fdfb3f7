// Package process runs the servers that tests need. On Linux none of them outlives the test binary,
// however the binary ends.
package process

import (
	"os"
	"os/exec"
	"runtime"
	"time"
)

// A Process is one run of a program. Its methods are safe for use by several goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone
	err  error         // what Wait returned; done guards it
}

// Start starts cmd.
func Start(cmd *exec.Cmd) (*Process, error) {
	dieWithParent(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	return p, <-started
}

// run starts the process and waits for its end. The kernel sends the parent-death signal when the
// thread ends that started the process, so that thread is held here until the process is gone.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
}

// PID is the id of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns when the process is gone, with the error of its end.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Signal sends a signal. It returns an error if the process is gone.
func (p *Process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop sends a signal that asks the process to end, and kills it if it is still there after limit.
func (p *Process) Stop(ask os.Signal, limit time.Duration) error {
	_ = p.Signal(ask) // an error means that it is gone already
	select {
	case <-p.done:
	case <-time.After(limit):
		p.Kill()
	}
	return p.err
}

// Kill ends the process without any warning, as a crash of it does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
