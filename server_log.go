package spdy

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// newErrorLogger returns a logger for sessions that writes to an http.Server's ErrorLog.
func newErrorLogger(l *log.Logger) *slog.Logger { return slog.New(&errorLogHandler{out: l}) }

// An errorLogHandler writes records as lines of a log.Logger: the message and its attributes as
// name=value. A value of several lines, such as a stack trace, follows on separate lines, as
// net/http prints it.
type errorLogHandler struct {
	out    *log.Logger
	prefix string // prefix of attribute names, from groups
	attrs  string // added by WithAttrs, formatted
}

// Enabled omits debug records.
func (h *errorLogHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo
}

// Handle prints a record.
func (h *errorLogHandler) Handle(_ context.Context, r slog.Record) error {
	var line, rest strings.Builder
	line.WriteString(r.Message)
	line.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		if v := a.Value.Resolve(); v.Kind() == slog.KindString && strings.Contains(v.String(), "\n") {
			rest.WriteString("\n" + strings.TrimSuffix(v.String(), "\n"))
		} else {
			appendAttr(&line, h.prefix, a)
		}
		return true
	})
	h.out.Print(line.String() + rest.String())
	return nil
}

// appendAttr appends an attribute, or all attributes of a group.
func appendAttr(to *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			appendAttr(to, prefix, member)
		}
		return
	}
	if !a.Equal(slog.Attr{}) {
		to.WriteString(" " + prefix + a.Key + "=" + v.String())
	}
}

// WithAttrs returns a handler that adds attributes to every record.
func (h *errorLogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	return &errorLogHandler{out: h.out, prefix: h.prefix, attrs: b.String()}
}

// WithGroup returns a handler that prefixes all attribute names with the group's name.
func (h *errorLogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &errorLogHandler{out: h.out, prefix: h.prefix + name + ".", attrs: h.attrs}
}
