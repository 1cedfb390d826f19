package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/demo"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whoever tries the demonstration finds how to sign in without running it anew.
func TestTheDemonstrationsPasswordIsWrittenDown(t *testing.T) {
	owner := ""
	for _, m := range demo.Generate(demo.Options{}).Members {
		if m.Role == chat.RoleOwner {
			owner = m.Email
		}
	}
	for _, name := range []string{"README.md", "docs/operating.md", "build/demo.sh"} {
		if text := readFile(t, name); !strings.Contains(text, demo.Password) || !strings.Contains(text, owner) {
			t.Errorf("%s does not say that %s signs in with %s", name, owner, demo.Password)
		}
	}
}

func TestThePublishedLicence(t *testing.T) {
	var pkg struct{ License string }
	var api struct {
		Info struct {
			License struct{ Name, Identifier string }
		}
	}
	for name, to := range map[string]any{"frontend/package.json": &pkg, "docs/openapi.json": &api} {
		if err := json.Unmarshal([]byte(readFile(t, name)), to); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if got := api.Info.License; pkg.License == "" || got.Identifier != pkg.License || got.Name != pkg.License {
		t.Errorf("docs/openapi.json says %+v, frontend/package.json %s", got, pkg.License)
	}
}
