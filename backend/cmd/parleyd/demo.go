package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"parley/backend/chat"
	"parley/backend/demo"
	"parley/backend/server"
	"parley/backend/server/blob"
	"parley/backend/server/store"
)

// unfinished is the file, in the data folder, that says which demonstration is
// being brought in: whoever finds it goes on with that one.
const unfinished = "demo-unfinished.json"

func (p program) demo(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	pl := placeFlags(fs)
	conversations := fs.Int("conversations", 2000, "how many conversations")
	messages := fs.Int("messages", 60_000, "how many messages in all")
	seed := fs.Int64("seed", 1, "with the same --now, the same seed makes the same data, ids included; only secrets differ")
	at := fs.String("now", "", "the moment the data seems to be of, like 2026-01-31T12:00:00Z; default: now")
	if err := p.flags(fs, args); err != nil {
		return err
	}
	if *conversations < 1 || *messages < *conversations {
		return chat.Invalid("messages", "At least one conversation is wanted, and at least one message for each.")
	}
	now := time.Now()
	if *at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, *at); err != nil {
			return chat.Invalid("now", "--now %q is not a moment. Give one like 2026-01-31T12:00:00Z.", *at)
		}
	}
	st, err := p.store(ctx, pl)
	if err != nil {
		return err
	}
	defer st.Close()
	files, err := blob.Open(filepath.Join(*pl.data, "files"))
	if err != nil {
		return err
	}
	mark := filepath.Join(*pl.data, unfinished)
	set, begun, err := earlier(ctx, st, mark)
	if err != nil {
		return err
	}
	if begun {
		fmt.Fprintf(p.stdout, "Going on with the demonstration that was cut off here: %d conversations with %d messages.\n",
			set.Options().Conversations, set.Options().Messages)
	} else {
		set = demo.Generate(demo.Options{Conversations: *conversations, Messages: *messages, Seed: *seed, Now: chat.TimeOf(now)})
		if err := writeMark(mark, set.Options()); err != nil {
			return err
		}
	}
	started := time.Now()
	err = server.ImportDemo(ctx, st, files, set)
	if err == nil || chat.ErrorCode(err) == chat.CodeConflict { // there is nothing to go on with
		err = errors.Join(err, os.Remove(mark))
	}
	if errors.Is(err, context.Canceled) {
		return chat.Errorf(chat.CodeUnavailable, "The demonstration was cut off. What is there of it is whole; parleyd demo goes on with it.")
	}
	if err != nil {
		return err
	}
	p.introduce(set, time.Since(started), begun)
	return nil
}

// earlier gives the set that an earlier run has begun here and not finished.
func earlier(ctx context.Context, st *store.Store, mark string) (*demo.Set, bool, error) {
	data, err := os.ReadFile(mark)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	var opts demo.Options
	if err == nil {
		err = json.Unmarshal(data, &opts)
	}
	if err != nil {
		return nil, false, &chat.Error{Code: chat.CodeUnavailable, Cause: err,
			Message: mark + " says which demonstration was cut off here, and cannot be read. What is there is whole; remove that file and try again."}
	}
	set := demo.Generate(opts)
	begun, err := server.DemoBegun(ctx, st, set)
	if chat.ErrorCode(err) == chat.CodeConflict { // another one is here by now, and will be in the way of any
		return nil, false, nil
	}
	return set, begun, err
}

// writeMark says on disk what is about to be brought in.
func writeMark(mark string, opts demo.Options) error {
	data, err := json.Marshal(opts)
	if err != nil {
		return fmt.Errorf("write %s: %w", mark, err)
	}
	f, err := os.OpenFile(mark+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", mark, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(mark+".part", mark)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", mark, err)
	}
	return nil
}

// introduce says what there is now and who may look at it.
func (p program) introduce(set *demo.Set, took time.Duration, begun bool) {
	o := set.Options()
	fmt.Fprintf(p.stdout, "%d conversations with %d messages in %s", o.Conversations, o.Messages, took.Round(time.Millisecond))
	if !begun {
		fmt.Fprintf(p.stdout, " (%.0f messages/s)", float64(o.Messages)/took.Seconds())
	}
	fmt.Fprintf(p.stdout, ".\nSign in as any of these with the password %s:\n", demo.Password)
	for _, m := range set.Members {
		fmt.Fprintf(p.stdout, "  %-34s %-12s %s\n", m.Email, m.Role, m.Name)
	}
}
