package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started. It leads a process group of its own, so its children end with it.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *logBuffer
	done chan struct{} // closed when it has ended
	err  error         // of its end; read after done
}

// start runs the command until the test ends. Its output is shown if the test fails.
func start(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: name, cmd: cmd, log: &logBuffer{}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	cmd.Stderr = p.log
	// The child must not outlive a test binary that is killed or times out, which runs no clean-up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// A grandchild may hold the output open for longer than its parent lives.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("what %s said last:\n%s", name, p.log.tail(60))
		}
	})
	return p
}

// kill ends the whole group at once, as `kill -9` would, and waits for the end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// end asks the process to end and waits until it has, however it does.
func (p *process) end() {
	if p.running() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended meanwhile
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
}

// terminate asks the process to end and fails the test unless it does so by itself, without an error.
func (p *process) terminate(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("ask %s to end: %v", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s did not end when asked to", p.name)
	}
	if p.err != nil {
		t.Fatalf("%s ended with: %v", p.name, p.err)
	}
}

func (p *process) signal(signal syscall.Signal) {
	if !p.running() {
		return // its number may belong to another process by now
	}
	// Errors mean that the group is gone already, which is what was wanted.
	_ = syscall.Kill(-p.cmd.Process.Pid, signal)
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// logBuffer keeps what a process prints. It is safe for several writers.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(data)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) tail(lines int) string {
	all := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// run runs a command to its end and returns what it printed; a failure fails the test.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, problems.String(), out.String())
	}
	return strings.TrimSpace(out.String())
}

// firstLine reads one line that a process prints to say that it is ready.
func firstLine(t testing.TB, name string, from *os.File) string {
	t.Helper()
	defer from.Close()
	if err := from.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatalf("wait for %s: %v", name, err)
	}
	var line []byte
	for one := make([]byte, 1); ; {
		_, err := from.Read(one)
		if errors.Is(err, io.EOF) || one[0] == '\n' {
			return string(line)
		}
		if err != nil {
			t.Fatalf("wait for %s to say that it is ready: %v", name, err)
		}
		line = append(line, one[0])
	}
}
