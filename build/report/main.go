// Command report reads the output of `go test -json` and prints what a person wants of it: a line for each package,
// the output of tests that failed, the names of those that were skipped. It adds the counts to the file named by
// -counts, so that several runs end in one sum; with -sum it only prints that sum. A vitest report in JSON is added
// with -vitest.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// event is a line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// counts are tests and subtests by their end.
type counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

func main() {
	file := flag.String("counts", "", "add the counts to this file")
	sum := flag.Bool("sum", false, "print what the file of -counts holds")
	broken := flag.Bool("broken", false, "with -sum: the run was stopped by a step, which counts as a failure if no test did")
	vitest := flag.String("vitest", "", "read this report of vitest instead of standard input")
	flag.Parse()
	if err := run(*file, *sum, *broken, *vitest); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(file string, sum, broken bool, vitest string) error {
	total, err := load(file)
	if err != nil {
		return err
	}
	if sum {
		if broken && total.Failed == 0 {
			total.Failed = 1
		}
		fmt.Printf("%d passed, %d failed, %d skipped\n", total.Passed, total.Failed, total.Skipped)
		return nil
	}
	var seen counts
	if vitest != "" {
		seen, err = readVitest(vitest)
	} else {
		seen, err = readGo(os.Stdin, os.Stdout)
	}
	if err != nil {
		return err
	}
	total.Passed += seen.Passed
	total.Failed += seen.Failed
	total.Skipped += seen.Skipped
	if err := save(file, total); err != nil {
		return err
	}
	if seen.Failed > 0 {
		return fmt.Errorf("%d tests failed", seen.Failed)
	}
	return nil
}

// readGo follows the events and prints as it goes.
func readGo(in io.Reader, out io.Writer) (counts, error) {
	var seen counts
	output := map[string][]string{} // by package and test; forgotten when the test passed
	failed := map[string]bool{}     // packages with a failed test
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "build-fail":
			seen.Failed++
		case "pass", "fail", "skip":
			if e.Test == "" {
				endPackage(out, e, output[key], failed[e.Package], &seen)
			} else {
				endTest(out, e, output[key], failed, &seen)
			}
			delete(output, key)
		}
	}
	return seen, lines.Err()
}

func endTest(out io.Writer, e event, output []string, failed map[string]bool, seen *counts) {
	switch e.Action {
	case "pass":
		seen.Passed++
	case "skip":
		seen.Skipped++
		fmt.Fprintf(out, "skip  %s %s: %s\n", e.Package, e.Test, reason(output))
	case "fail":
		seen.Failed++
		failed[e.Package] = true
		fmt.Fprintf(out, "FAIL  %s %s (%.1f s)\n%s", e.Package, e.Test, e.Elapsed, strings.Join(output, ""))
	}
}

// endPackage prints the package's line. A package can fail without a failed test: a panic, a data race outside of a
// test, a time-out; then its own output says why and it counts as one failure.
func endPackage(out io.Writer, e event, output []string, tests bool, seen *counts) {
	switch {
	case e.Action == "pass":
		fmt.Fprintf(out, "ok    %s (%.1f s)\n", e.Package, e.Elapsed)
	case e.Action == "fail" && !tests:
		seen.Failed++
		fmt.Fprintf(out, "FAIL  %s\n%s", e.Package, strings.Join(output, ""))
	case e.Action == "fail":
		fmt.Fprintf(out, "FAIL  %s (%.1f s)\n", e.Package, e.Elapsed)
	}
}

// reason finds what t.Skip was told, the last line of the output that is not go test's own.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(output[i])
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return "no reason given"
}

// readVitest takes the totals of vitest's JSON reporter.
func readVitest(path string) (counts, error) {
	var report struct {
		Passed  int `json:"numPassedTests"`
		Failed  int `json:"numFailedTests"`
		Pending int `json:"numPendingTests"`
		Todo    int `json:"numTodoTests"`
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return counts{}, err
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return counts{}, fmt.Errorf("read %s: %w", path, err)
	}
	return counts{Passed: report.Passed, Failed: report.Failed, Skipped: report.Pending + report.Todo}, nil
}

func load(path string) (counts, error) {
	var c counts
	if path == "" {
		return c, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

func save(path string, c counts) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
