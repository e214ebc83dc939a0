// Command sigstore-kms-pkcs11 signs with keys on a PKCS #11 token: what patchfit
// (and cosign) run for --key pkcs11:…. It speaks sigstore's plugin protocol and
// does one thing a run.
//
// It is a module and a program of its own because a PKCS #11 driver is a C
// library: this program is built with cgo and links it at run time, patchfit
// itself stays static and without cgo. docs/signing.md.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/sigstore/sigstore/pkg/signature/kms/cliplugin/handler"
)

func main() {
	if err := run(os.Args, os.Stdin, os.Stdout); err != nil {
		// The protocol's place for errors is its answer.
		if err := handler.WriteErrorResponse(os.Stdout, err); err != nil {
			fmt.Fprintln(os.Stderr, "sigstore-kms-pkcs11:", err)
			os.Exit(1)
		}
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	asked, err := handler.GetPluginArgs(args)
	if err != nil {
		return fmt.Errorf("this program is run by patchfit or cosign, for --key pkcs11:…: %w", err)
	}
	if asked.InitOptions == nil || asked.MethodArgs == nil {
		return fmt.Errorf("the request has no options or no method")
	}
	u, err := parse(asked.InitOptions.KeyResourceID)
	if err != nil {
		return err
	}
	k, err := open(u, asked.InitOptions.HashFunc)
	if err != nil {
		return err
	}
	defer k.close()
	_, err = handler.Dispatch(out, in, asked, k)
	return err
}
