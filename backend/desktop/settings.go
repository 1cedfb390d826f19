package desktop

import (
	"encoding/json"

	"parley/backend/chat"
)

const (
	windowSetting = "window." // before the keys of the window, apart from the engine's own
	maxSetting    = 64 << 10

	// SettingDefaultServer is the key of the server proposed by --server.
	SettingDefaultServer = "default_server"
)

// GetSetting gives a setting of the window on this device; null when unset.
func (e *Engine) GetSetting(key string) (json.RawMessage, error) {
	if key == SettingDefaultServer && e.opt.DefaultServer != "" {
		return json.Marshal(e.opt.DefaultServer)
	}
	if e.device == nil {
		return json.RawMessage("null"), nil
	}
	ctx, cancel := e.reading()
	defer cancel()
	value, ok, err := e.device.Setting(ctx, windowSetting+key)
	if err != nil {
		return nil, err
	}
	if !ok {
		return json.RawMessage("null"), nil
	}
	return value, nil
}

// PutSetting keeps a setting of the window on this device.
func (e *Engine) PutSetting(key string, value json.RawMessage) error {
	switch {
	case key == "" || len(key) > 100:
		return chat.Invalid("key", "A setting needs a short name.")
	case len(value) > maxSetting || !json.Valid(value):
		return chat.Invalid("value", "This is not a value that can be kept.")
	}
	if err := e.unusable(); err != nil {
		return err
	}
	ctx, cancel := e.reading()
	defer cancel()
	return e.device.PutSetting(ctx, windowSetting+key, value)
}
