package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ThalesGroup/crypto11"
	pkcs11uri "github.com/stefanberger/go-pkcs11uri"
)

// Where the driver and the PIN are, if the URI does not say.
const (
	envModule = "PKCS11_MODULE_PATH"
	envPIN    = "PKCS11_PIN"
)

// A place is one key on one token.
type place struct {
	config    crypto11.Config
	id, label []byte // nil: any
}

// parse reads a PKCS #11 URI (RFC 7512) without its scheme.
func parse(rest string) (*place, error) {
	u := pkcs11uri.New()
	if err := u.Parse("pkcs11:" + rest); err != nil {
		return nil, fmt.Errorf("not a PKCS #11 URI (RFC 7512): %w", err)
	}
	p := &place{id: attribute(u, "id"), label: attribute(u, "object")}
	if p.id == nil && p.label == nil {
		return nil, errors.New("the URI names no key: say object=LABEL or id=ID")
	}
	if err := p.token(u); err != nil {
		return nil, err
	}
	if p.config.Path, _ = u.GetQueryAttribute("module-path", false); p.config.Path == "" {
		p.config.Path = os.Getenv(envModule)
	}
	if p.config.Path == "" {
		return nil, fmt.Errorf("the URI names no driver: say ?module-path=/path/to/driver.so, or set %s", envModule)
	}
	var err error
	p.config.Pin, err = pin(u)
	return p, err
}

func attribute(u *pkcs11uri.Pkcs11URI, name string) []byte {
	if v, ok := u.GetPathAttribute(name, false); ok {
		return []byte(v)
	}
	return nil
}

func (p *place) token(u *pkcs11uri.Pkcs11URI) error {
	p.config.TokenLabel = string(attribute(u, "token"))
	p.config.TokenSerial = string(attribute(u, "serial"))
	if (p.config.TokenLabel == "") == (p.config.TokenSerial == "") {
		return errors.New("the URI names no token, or two: say either token=LABEL or serial=SERIAL")
	}
	return nil
}

// pin returns the PIN from the file the URI names, or from the environment. In
// the URI itself it could be seen by everybody on the machine, in the list of
// processes.
func pin(u *pkcs11uri.Pkcs11URI) (string, error) {
	if _, ok := u.GetQueryAttribute("pin-value", false); ok {
		return "", fmt.Errorf("a PIN in the URI can be read by others on this machine; say pin-source=file:/path, or set %s", envPIN)
	}
	if _, ok := u.GetQueryAttribute("pin-source", false); !ok {
		return os.Getenv(envPIN), nil
	}
	v, err := u.GetPIN()
	if err != nil {
		return "", fmt.Errorf("reading the PIN: %w", err)
	}
	return strings.TrimRight(v, "\r\n"), nil
}
