package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosingAsksOnlyAboutUnsentTexts(t *testing.T) {
	for name, c := range map[string]struct {
		left               int
		answer, asks, stay bool
	}{
		"nothing is left":   {left: 0},
		"close anyway":      {left: 1, answer: true, asks: true},
		"stay":              {left: 2, asks: true, stay: true},
		"one message, stay": {left: 1, asks: true, stay: true},
	} {
		asked := ""
		x := &closing{handIn: func(context.Context) int { return c.left }, ask: func(q string) bool { asked = q; return c.answer }}
		if stay := x.stays(t.Context()); stay != c.stay || (asked != "") != c.asks {
			t.Errorf("%s: stays %v, asked %q", name, stay, asked)
		}
		if c.left == 1 && !strings.HasPrefix(asked, "1 message has") || strings.Contains(asked, "%") {
			t.Errorf("%s: asked %q", name, asked)
		}
	}
}

func TestClosingAsksNobodyWhenTheProgramIsEnded(t *testing.T) {
	forced, end := context.WithCancel(t.Context())
	end()
	handed := false
	x := &closing{handIn: func(ctx context.Context) int { handed = ctx.Err() == nil; return 1 }, ask: func(string) bool { t.Error("asked"); return false }}
	if x.stays(forced) || !handed {
		t.Errorf("handed in %v", handed)
	}
}

func TestClosingNeverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, block := time.Now(), make(chan struct{})
		x := &closing{handIn: func(context.Context) int { <-block; return 1 }, ask: func(string) bool { t.Error("asked"); return false }}
		if x.stays(t.Context()) || time.Since(began) > closePatience+time.Second {
			t.Errorf("took %v", time.Since(began))
		}
		close(block)
		synctest.Wait()
	})
}

func TestClosingTwiceAsksOnce(t *testing.T) {
	times := 0
	x := &closing{handIn: func(context.Context) int { return 1 }}
	x.ask = func(string) bool {
		times++
		if !x.stays(t.Context()) {
			t.Error("a second wish closes the window under the question")
		}
		return true
	}
	if x.stays(t.Context()) || times != 1 {
		t.Errorf("asked %d times", times)
	}
}
