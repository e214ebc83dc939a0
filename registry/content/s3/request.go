package s3

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

const maxBackoff = 5 * time.Second

// Settings returns the options of a client for the server c names, for rooms
// that keep something else there.
func (c Config) Settings(o *Options) (func(*s3.Options), error) {
	p, err := c.prepare(o)
	if err != nil {
		return nil, err
	}
	return p.settings, nil
}

// prepared is what a client for the server of a configuration is made of.
type prepared struct {
	o        Options
	http     *http.Client
	settings func(*s3.Options)
}

func (c Config) prepare(o *Options) (*prepared, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	opts, err := o.filled()
	if err != nil {
		return nil, err
	}
	creds, err := c.credentials()
	if err != nil {
		return nil, err
	}
	client, err := c.httpClient(opts.Patience)
	if err != nil {
		return nil, err
	}
	return &prepared{o: opts, http: client, settings: settings(c, creds, client, opts)}, nil
}

func settings(c Config, creds aws.CredentialsProvider, client *http.Client, o Options) func(*s3.Options) {
	return func(to *s3.Options) {
		to.BaseEndpoint = &c.Endpoint
		to.Region = c.Region
		to.Credentials = creds
		to.UsePathStyle = !c.VirtualHost
		to.HTTPClient = client
		to.Logger = logging.Nop{}
		to.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = o.Attempts
			r.Backoff = backoff(o.Backoff)
			r.RateLimiter = ratelimit.None // attempts are the bound, and nobody's failure is another's
		})
		to.APIOptions = append(to.APIOptions, hashBodies)
		// With that, trailing checksums would say the same once more, and not
		// every server reads them.
		to.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		to.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		to.ContinueHeaderThresholdBytes = -1
	}
}

// hashBodies puts the SHA-256 of every body under the signature. Over TLS the
// SDK would leave it out; but what ends TLS need not be what stores the bytes.
func hashBodies(stack *middleware.Stack) error {
	hash := &v4.ComputePayloadSHA256{}
	_, err := stack.Finalize.Swap(hash.ID(), hash)
	return err
}

// backoff waits up to first before the second attempt and up to twice as long
// before each further one. The random half keeps replicas from marching in step.
func backoff(first time.Duration) retry.BackoffDelayerFunc {
	return func(attempt int, _ error) (time.Duration, error) {
		return delay(first, attempt), nil
	}
}

func delay(first time.Duration, attempt int) time.Duration {
	most := maxBackoff
	if attempt = max(attempt, 1); attempt < 20 {
		most = min(first<<(attempt-1), maxBackoff)
	}
	if most <= 0 {
		return 0
	}
	return most/2 + rand.N(most/2+1)
}

// pause waits before the given attempt of our own loops.
func (d *Driver) pause(ctx context.Context, attempt int) error {
	t := time.NewTimer(delay(d.o.Backoff, attempt))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// A slowError says that an attempt was given up.
type slowError struct{ after time.Duration }

func (e slowError) Error() string { return fmt.Sprintf("no answer within %v", e.after) }
func (e slowError) Timeout() bool { return true } // which the SDK tries again

type movesKey struct{}

// moves tells the transport that the server itself moves size bytes before it
// answers, as it does for a copy.
func moves(ctx context.Context, size int64) context.Context {
	return context.WithValue(ctx, movesKey{}, size)
}

// patient bounds how long a round trip may wait for its answer, and each read
// of the answer's body for bytes.
type patient struct {
	next     *http.Transport
	patience time.Duration
}

func (p *patient) CloseIdleConnections() { p.next.CloseIdleConnections() }

func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	moved, _ := req.Context().Value(movesKey{}).(int64)
	limit := p.patience + time.Duration(max(req.ContentLength, 0)+moved)*time.Second>>20
	slow := slowError{limit}
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(limit, func() { cancel(slow) })
	resp, err := p.next.RoundTrip(req.WithContext(ctx))
	timer.Stop()
	if err != nil {
		if context.Cause(ctx) == slow {
			err = slow
		}
		cancel(nil)
		return nil, err
	}
	resp.Body = &patientBody{ReadCloser: resp.Body, patience: p.patience, ctx: ctx, cancel: cancel}
	return resp, nil
}

type patientBody struct {
	io.ReadCloser
	patience time.Duration
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

func (b *patientBody) Read(p []byte) (int, error) {
	slow := slowError{b.patience}
	timer := time.AfterFunc(b.patience, func() { b.cancel(slow) })
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && err != io.EOF && context.Cause(b.ctx) == slow {
		err = slow
	}
	return n, err
}

func (b *patientBody) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
