package desktop

import (
	"encoding/json"
	"strings"
)

// Opening is what the window shows first, in one answer: it is there before
// the page asks, so that the first thing on the screen is the inbox itself.
type Opening struct {
	Settings map[string]json.RawMessage `json:"settings"` // of the window, by key
	State    AppState                   `json:"state"`
	Counts   *Counts                    `json:"counts"` // null when they cannot be read; who asks for them hears why
	List     *ListPage                  `json:"list"`   // the top of the list as it was left; null when it cannot be read
	Turn     int64                      `json:"turn"`   // where the window begins to count its questions: after those of the one before
}

// The settings of the window that say which list it shows.
const (
	settingBrand  = "brand"        // the brand it is scoped to
	settingOldest = "oldest_first" // whether who waits longest stands at the top
)

// Opening reads what the window shows first, with so many rows of the list.
func (e *Engine) Opening(rows int) (Opening, error) {
	o := Opening{Turn: 1}
	var err error
	if o.State, err = e.State(); err != nil {
		return o, err
	}
	if o.Settings, err = e.windowSettings(); err != nil {
		return o, err
	}
	if o.State.Account == nil {
		return o, nil
	}
	q := ListQuery{Limit: rows}
	// A setting of another type is not ours to guess: the window ignores it too.
	if json.Unmarshal(o.Settings[settingBrand], &q.Brand) != nil {
		q.Brand = ""
	}
	if json.Unmarshal(o.Settings[settingOldest], &q.Oldest) != nil {
		q.Oldest = false
	}
	if s := e.view.Load().session; s != nil {
		o.Turn = s.search.begin()
	}
	if counts, err := e.Counts(q.Brand); err == nil {
		o.Counts = &counts
	}
	if list, err := e.List(q); err == nil {
		o.List = &list
	}
	return o, nil
}

// windowSettings gives all settings of the window by their keys.
func (e *Engine) windowSettings() (map[string]json.RawMessage, error) {
	if e.device == nil {
		return map[string]json.RawMessage{}, nil
	}
	ctx, cancel := e.reading()
	defer cancel()
	kept, err := e.device.Settings(ctx, windowSetting)
	if err != nil {
		return nil, err
	}
	settings := make(map[string]json.RawMessage, len(kept))
	for key, value := range kept {
		settings[strings.TrimPrefix(key, windowSetting)] = value
	}
	return settings, nil
}
