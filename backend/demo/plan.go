package demo

import (
	"math/rand/v2"
	"time"
)

// stepKind is what one message of a thread is for.
type stepKind uint8

const (
	stepAsk stepKind = iota
	stepFollow
	stepSmall
	stepShow // the customer sends a picture, a voice message, a place …
	stepThanks
	stepBot
	stepHandOver // the assistant says a person will answer
	stepAnswer
	stepReply
	stepBye
	stepComment
	stepEscalated
	stepRequested
	stepAccepted
	stepAssigned
	stepReleased
	stepResolved
	stepReopened
)

// step is one message to come and the pause before it.
type step struct {
	kind  stepKind
	pause time.Duration
}

// ending is how a thread stands at the end.
type ending uint8

const (
	endWaiting  ending = iota // the customer wrote last
	endAnswered               // a member wrote last
	endResolved
)

// drawEnding makes old threads mostly done and young ones mostly not.
func drawEnding(r *rand.Rand, age time.Duration) ending {
	resolved, answered := 0.92, 0.06
	switch {
	case age < 2*24*time.Hour:
		resolved, answered = 0.40, 0.36
	case age < 14*24*time.Hour:
		resolved, answered = 0.70, 0.22
	}
	switch d := r.Float64(); {
	case d < resolved:
		return endResolved
	case d < resolved+answered:
		return endAnswered
	}
	return endWaiting
}

// planThread plans exactly n messages: visits of the customer, one after
// another, and the wanted end.
func planThread(r *rand.Rand, n int, assistant bool, end ending) []step {
	steps := make([]step, 0, n+16)
	for len(steps) < n {
		steps = planVisit(r, steps, assistant)
	}
	steps = steps[:n]
	switch {
	case end == endResolved && n >= 3:
		steps[n-2].kind, steps[n-1].kind = stepBye, stepResolved
	case end == endWaiting && n >= 2:
		steps[n-1].kind = stepFollow
	case n >= 2:
		steps[n-1].kind = stepReply
	}
	return steps
}

// planVisit adds one visit: a question, who takes it, an exchange, an end.
func planVisit(r *rand.Rand, steps []step, assistant bool) []step {
	add := func(k stepKind, medianSeconds float64) {
		steps = append(steps, step{k, time.Duration(logNormal(r, medianSeconds, 1.1) * float64(time.Second))})
	}
	pause := 1.5 * 24 * 3600.0
	if k := len(steps); k > 0 && steps[k-1].kind == stepResolved {
		add(stepReopened, pause)
		pause = 1
	}
	add(stepAsk, pause)
	if chance(r, 0.2) {
		add(stepSmall, 25)
	}
	if chance(r, 0.12) {
		add(stepShow, 30)
	}
	if assistant {
		add(stepBot, 4)
		if chance(r, 0.3) { // the assistant manages alone
			add(stepThanks, 60)
			return steps
		}
		add(stepHandOver, 40)
		add(stepEscalated, 1)
	}
	switch d := r.Float64(); {
	case d < 0.35:
		add(stepAccepted, 240)
	case d < 0.42:
		add(stepAssigned, 240)
		add(stepComment, 120)
	case d < 0.45:
		add(stepRequested, 60)
	}
	add(stepAnswer, 200)
	for range r.IntN(5) {
		switch d := r.Float64(); {
		case d < 0.12:
			add(stepShow, 60)
		case d < 0.25:
			add(stepSmall, 40)
		default:
			add(stepFollow, 90)
		}
		if chance(r, 0.07) {
			add(stepComment, 60)
		}
		add(stepReply, 110)
		if chance(r, 0.2) {
			add(stepReply, 15)
		}
	}
	if chance(r, 0.6) {
		add(stepThanks, 120)
		if chance(r, 0.7) {
			add(stepBye, 60)
		}
	}
	switch d := r.Float64(); {
	case d < 0.6:
		add(stepResolved, 40)
	case d < 0.65:
		add(stepReleased, 40)
	}
	return steps
}
