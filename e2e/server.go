package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// The owner of every workspace that a test makes.
const (
	ownerEmail    = "owner@example.com"
	ownerPassword = "correct horse battery staple"
)

// Server is parleyd as a process with a folder of its own. The folder stays when the process is killed.
type Server struct {
	t    testing.TB
	addr string
	proc *process
	// Data is the data folder.
	Data string
	// Created is what `parleyd init` has answered.
	Created protocol.Created
}

// NewServer makes a workspace as an administrator would, by `parleyd init`, and serves it.
func NewServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, addr: freePort(t), Data: t.TempDir()}
	answer := s.Admin(ownerPassword, "init", "--workspace", "Lindqvist & Co",
		"--email", ownerEmail, "--name", "Maja Lindqvist", "--password-stdin", "--json")
	if err := json.Unmarshal([]byte(answer), &s.Created); err != nil {
		t.Fatalf("read what parleyd init answered: %v\n%s", err, answer)
	}
	s.Start()
	return s
}

// Admin runs a subcommand of parleyd on the data folder, with that input, and returns what it prints.
func (s *Server) Admin(input, subcommand string, args ...string) string {
	s.t.Helper()
	words := append(strings.Fields(subcommand), "--data", s.Data)
	cmd := exec.Command(Program(s.t, "parleyd"), append(words, args...)...)
	cmd.Env = cleanEnvironment()
	cmd.Stdin = strings.NewReader(input + "\n")
	return run(s.t, cmd)
}

// Start serves on the same address as before and returns when the server is ready.
func (s *Server) Start() {
	s.t.Helper()
	cmd := exec.Command(Program(s.t, "parleyd"), "serve", "--data", s.Data, "--listen", s.addr)
	cmd.Env = cleanEnvironment()
	s.proc = start(s.t, "parleyd", cmd)
	Until(s.t, "parleyd to be ready", func() bool {
		if !s.proc.running() {
			s.t.Fatal("parleyd ended instead of serving")
		}
		response, err := http.Get(s.URL() + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// Kill ends the process as `kill -9` does.
func (s *Server) Kill() { s.proc.kill() }

// Stop drains the server as a restart of a service does.
func (s *Server) Stop() {
	s.t.Helper()
	s.proc.terminate(s.t)
}

// CPU is the processor time that the process has taken until now.
func (s *Server) CPU() time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.proc.cmd.Process.Pid))
	if err != nil {
		s.t.Fatalf("read what parleyd has taken: %v", err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	var user, system int64
	for i, field := range strings.Fields(fields) {
		var err error
		switch i + 3 { // as proc(5) counts them
		case 14:
			user, err = strconv.ParseInt(field, 10, 64)
		case 15:
			system, err = strconv.ParseInt(field, 10, 64)
		}
		if err != nil {
			s.t.Fatalf("read what parleyd has taken: %v", err)
		}
	}
	return time.Duration(user+system) * 10 * time.Millisecond // a hundred ticks a second on every Linux
}

// Addr is where it listens, host and port.
func (s *Server) Addr() string { return s.addr }

// URL is its address.
func (s *Server) URL() string { return "http://" + s.addr }

// SharePage is the address that the workspace gives to its customers.
func (s *Server) SharePage() string { return s.URL() + "/c/" + s.Created.Channel.Slug }

// Texts are the texts of all messages to and from customers, as the server has them, comments and events left out.
func (s *Server) Texts() []string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	anonymous, err := protocol.NewClient(s.URL(), "", "e2e")
	if err != nil {
		s.t.Fatal(err)
	}
	defer anonymous.Close()
	in, err := anonymous.SignIn(ctx, protocol.SignIn{Email: ownerEmail, Password: ownerPassword, Device: "e2e"})
	if err != nil {
		s.t.Fatal(err)
	}
	var texts []string
	end, err := anonymous.WithToken(in.Token).Bootstrap(ctx, 1, "", protocol.Rows{
		Head: func(protocol.BootstrapHead) error { return nil },
		Line: func(line protocol.BootstrapLine) error {
			if line.Kind != chat.EntityMessage {
				return nil
			}
			var message chat.Message
			if err := json.Unmarshal(line.Data, &message); err != nil {
				return err
			}
			for _, part := range message.Parts {
				if message.Kind == chat.MessageKindMessage && part.Kind == chat.PartText {
					texts = append(texts, part.Text)
				}
			}
			return nil
		},
	})
	if err != nil || end.More {
		s.t.Fatalf("read all messages of the server: more to come %t, %v", end.More, err)
	}
	return texts
}
