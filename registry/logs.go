package registry

import (
	"context"
	"io"
	"log/slog"
	"slices"

	"github.com/sirupsen/logrus"
)

// bridgeLogs sends what distribution logs to logger. Distribution knows one
// logger per process, logrus' standard one; the newest registry gets it.
func bridgeLogs(logger *slog.Logger) {
	standard := logrus.StandardLogger()
	standard.SetOutput(io.Discard)
	standard.SetLevel(logrus.WarnLevel)
	hooks := make(logrus.LevelHooks)
	hooks.Add(bridge{logger})
	standard.ReplaceHooks(hooks)
}

// A bridge is a logrus hook.
type bridge struct{ logger *slog.Logger }

func (b bridge) Levels() []logrus.Level {
	return []logrus.Level{logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel, logrus.WarnLevel}
}

// Fire logs an entry. What answers a client with a 4xx is no error of ours:
// distribution logs every unknown manifest as one.
func (b bridge) Fire(e *logrus.Entry) error {
	level := slog.LevelError
	if e.Level == logrus.WarnLevel {
		level = slog.LevelWarn
	}
	if status, ok := e.Data["http.response.status"].(int); ok && status < 500 {
		level = slog.LevelDebug
	}
	b.logger.LogAttrs(context.Background(), level, e.Message, attributes(e.Data)...)
	return nil
}

// logged are the fields that help and hold no secrets.
var logged = []string{
	"err.code", "err.message", "err.detail", "error", "http.request.method", "http.response.status",
	"vars.name", "vars.reference", "vars.digest", "go.version", "canonical", "provided",
}

func attributes(data logrus.Fields) []slog.Attr {
	attrs := []slog.Attr{slog.String("from", "distribution")}
	for k, v := range data {
		if slices.Contains(logged, k) {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	return attrs
}
