package spdy

import (
	"maps"
	"slices"
	"sync"
)

// A SettingsStore keeps the settings that servers ask their clients to keep (SPDY/3.1 §2.6.4), for
// a client to return in later sessions with the same server. Servers can recognise a client by the
// settings, so a program that clears cookies should clear settings too (SPEC T10). server is
// Config.SettingsKey and never "". The methods may be called by several sessions at once, must not
// block, and are called by the session's receiver.
type SettingsStore interface {
	// Load returns the settings that a server has asked to keep.
	Load(server string) []Setting

	// Update deletes all settings of a server if clear is set, and then stores the entries, each
	// replacing the setting with the same ID.
	Update(server string, clear bool, entries []Setting)
}

// DefaultSettings is the SettingsStore of clients whose Config sets none.
var DefaultSettings = new(MemorySettings)

// maxSettingsServers is the number of servers that a MemorySettings remembers. Beyond the limit,
// the oldest entry is deleted.
const maxSettingsServers = 256

// MemorySettings is a SettingsStore that keeps the known settings of up to 256 servers until the
// program ends or Clear is called. The zero value is empty and ready for use.
type MemorySettings struct {
	mu      sync.Mutex
	servers map[string]map[SettingID]uint32
	order   []string // servers, oldest first
}

// Load implements SettingsStore.
func (m *MemorySettings) Load(server string) []Setting {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := m.servers[server]
	entries := make([]Setting, 0, len(values))
	for _, id := range slices.Sorted(maps.Keys(values)) {
		entries = append(entries, Setting{ID: id, Value: values[id]})
	}
	return entries
}

// Update implements SettingsStore.
func (m *MemorySettings) Update(server string, clear bool, entries []Setting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if clear {
		m.forgetLocked(server)
	}
	for _, e := range entries {
		if e.ID == 0 || e.ID > SettingClientCertificateVectorSize {
			continue
		}
		m.enterLocked(server)[e.ID] = e.Value
	}
}

// Clear deletes all settings.
func (m *MemorySettings) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers, m.order = nil, nil
}

func (m *MemorySettings) enterLocked(server string) map[SettingID]uint32 {
	if values, ok := m.servers[server]; ok {
		return values
	}
	if len(m.order) >= maxSettingsServers {
		m.forgetLocked(m.order[0])
	}
	if m.servers == nil {
		m.servers = make(map[string]map[SettingID]uint32)
	}
	values := make(map[SettingID]uint32)
	m.servers[server] = values
	m.order = append(m.order, server)
	return values
}

func (m *MemorySettings) forgetLocked(server string) {
	delete(m.servers, server)
	if i := slices.Index(m.order, server); i >= 0 {
		m.order = slices.Delete(m.order, i, i+1)
	}
}

// forOrigin returns a copy of the configuration for sessions with an origin.
func (c *Config) forOrigin(key string) *Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.SettingsKey = key
	return &d
}

// returnSettings queues the settings that the server asked us to keep in earlier sessions. They
// have a frame of their own, sent before our settings: if a server mistakes the old values for
// ours, our settings correct it at once (SPEC T3, T7).
func (s *Session) returnSettings() {
	if s.conf.SettingsKey == "" {
		return
	}
	kept := s.conf.Settings.Load(s.conf.SettingsKey)
	if len(kept) == 0 {
		return
	}
	for i := range kept {
		kept[i].Flags = FlagPersisted
	}
	s.control = appendSettings(s.control, s.version, 0, kept)
}

// keepSettings stores the settings that the server asks us to keep (SPEC T8). Flags sent by a
// client have no meaning (SPEC T6).
func (s *Session) keepSettings(flags frameFlags, entries []Setting) {
	clear := flags&FlagClearSettings != 0
	if s.client && s.conf.SettingsKey != "" && (clear || len(entries) > 0) {
		s.conf.Settings.Update(s.conf.SettingsKey, clear, entries)
	}
}
