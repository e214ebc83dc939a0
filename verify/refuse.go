package verify

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/patchfit/patchfit/attest"
	"github.com/patchfit/patchfit/internal/strictjson"
)

const maxFact = 600 // bytes of a refusal's fact, which is one line for people

// refuse makes a refusal with the remedy that belongs to its reason.
func refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Fact: oneLine(fmt.Sprintf(format, args...)), Remedy: reason.Remedy()}
}

// oneLine keeps what others wrote from looking like lines of ours.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxFact {
		s = strings.ToValidUTF8(s[:maxFact], "") + "…"
	}
	return s
}

// unreadable refuses what does not parse. What has no log entry or no
// timestamp at all reads as a parse error too, and is called by its name.
func unreadable(err error) *Refusal {
	var at *strictjson.Error
	if errors.As(err, &at) && isProof(at) {
		return refuse(NotLogged, "%v", err)
	}
	return refuse(Corrupt, "%v", err)
}

func isProof(e *strictjson.Error) bool {
	const entries, times = "/verificationMaterial/tlogEntries", "/verificationMaterial/timestampVerificationData"
	if !strings.HasPrefix(e.Pointer, entries) && !strings.HasPrefix(e.Pointer, times) {
		return false
	}
	return e.Reason == "missing" || e.Pointer == entries || e.Pointer == times+"/rfc3161Timestamps"
}

// about refuses a statement whose subjects are not want's digests; its parser
// saw to it that no subject is empty. A statement may leave the file out where
// its type allows it; what is missing then is package policy's to judge.
func about(s *attest.Statement, want Artifact) *Refusal {
	if got := s.Subjects[0].Digest; got != want.Manifest {
		return refuse(SubjectMismatch, "/subject/0: statement is about %s, want manifest %s", got, orNone(want.Manifest))
	}
	if len(s.Subjects) > 2 {
		return refuse(SubjectMismatch, "/subject: %d subjects, want a manifest and at most its one file", len(s.Subjects))
	}
	if got := file(s); len(s.Subjects) == 2 && got != want.File {
		return refuse(SubjectMismatch, "/subject/1: statement is about %s, want the manifest's one file %s", got, orNone(want.File))
	}
	return nil
}

func file(s *attest.Statement) attest.Digest {
	if len(s.Subjects) < 2 {
		return ""
	}
	return s.Subjects[1].Digest
}

func orNone(d attest.Digest) string {
	if d == "" {
		return "(none)"
	}
	return string(d)
}
