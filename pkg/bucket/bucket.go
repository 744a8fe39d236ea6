// Package bucket is a client for a prefix of a bucket in an S3-compatible object store, with the few
// operations that the model registry needs.
//
// Small objects are read and written whole; [Bucket.Replace] writes conditionally by ETag, which is
// the only synchronization among writers. Large files are transferred in parts. Requests are retried
// with exponential backoff; errors wrap fs.ErrNotExist, [ErrChanged] or [ErrRefused] where callers
// must distinguish them, and say what to do about refused access.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"genrec/pkg/tlsfiles"
)

// Scheme is the prefix of the locations that Open accepts.
const Scheme = "s3://"

const (
	maxAttempts     = 6                // per request, with pauses of up to 20 s
	headerTimeout   = time.Minute      // until the response begins
	smallTimeout    = 30 * time.Second // per small request, including retries
	partBytes       = 16 << 20         // per part of a transfer
	parallelParts   = 4                // per transfer
	tornReads       = 6                // attempts of GetForReplace
	tornPause       = 50 * time.Millisecond
	defaultRegion   = "us-east-1" // for servers without regions
	missingKeysHint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, select a profile by AWS_PROFILE, or run under a role"
)

// Bucket gives access to the objects below a prefix of a bucket. Object names are relative to the
// prefix. It is safe for concurrent use.
type Bucket struct {
	name, prefix string
	client       *s3.Client
	transfers    *transfermanager.Client
}

// Open opens a location such as s3://bucket/prefix?endpoint=http://host:9000&region=eu-west-1. The
// default endpoint is that of AWS, the default region that of the environment. Credentials come from
// the default chain of the AWS SDK: environment variables, profile, role of the machine. Open makes no
// request to the bucket.
func Open(ctx context.Context, location string) (*Bucket, error) {
	b, endpoint, region, err := parse(location)
	if err != nil {
		return nil, err
	}
	settings := []func(*config.LoadOptions) error{
		config.WithRetryMaxAttempts(maxAttempts),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = headerTimeout
		})),
		// Callers verify their own checksums, and not every server supports those of AWS.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if region != "" {
		settings = append(settings, config.WithRegion(region))
	}
	c, err := config.LoadDefaultConfig(ctx, settings...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if c.Region == "" && endpoint == "" {
		return nil, errors.New("no region is configured: set AWS_REGION, or add ?region=… to the location")
	}
	if c.Region == "" {
		c.Region = defaultRegion
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("no credentials: %s (%w)", missingKeysHint, err)
	}
	b.client = s3.NewFromConfig(c, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = &endpoint, true
		}
	})
	b.transfers = transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency = partBytes, parallelParts
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.DisableChecksumValidation = true
	})
	return b, nil
}

func parse(location string) (b *Bucket, endpoint, region string, err error) {
	u, err := url.Parse(location)
	if err != nil {
		var reason *url.Error
		if errors.As(err, &reason) {
			err = reason.Err // url.Error quotes the location, which may contain a secret
		}
		return nil, "", "", fmt.Errorf("invalid URL: %w", err)
	}
	if u.User != nil {
		return nil, "", "", errors.New("the location must not contain credentials: " + missingKeysHint)
	}
	if u.Scheme+"://" != Scheme || u.Host == "" || u.Fragment != "" {
		return nil, "", "", errors.New("want a location such as s3://bucket/prefix")
	}
	for name, values := range u.Query() {
		switch {
		case name == "endpoint" && len(values) == 1:
			endpoint = values[0]
		case name == "region" && len(values) == 1:
			region = values[0]
		default:
			return nil, "", "", fmt.Errorf("invalid parameter %.40q: only endpoint and region are allowed, each once", name)
		}
	}
	if e, err := url.Parse(endpoint); endpoint != "" && (err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https") {
		return nil, "", "", errors.New("want an endpoint such as http://host:9000 or https://host")
	}
	return &Bucket{name: u.Host, prefix: strings.Trim(u.Path, "/")}, endpoint, region, nil
}

// String returns the location without its parameters.
func (b *Bucket) String() string {
	return strings.TrimSuffix(Scheme+path.Join(b.name, b.prefix), "/")
}

// key returns the full key of an object.
func (b *Bucket) key(name string) string { return b.keyPrefix() + name }

func (b *Bucket) nameOf(key string) string { return strings.TrimPrefix(key, b.keyPrefix()) }

func (b *Bucket) keyPrefix() string {
	if b.prefix == "" {
		return ""
	}
	return b.prefix + "/"
}

func (b *Bucket) wrap(operation, name string, err error) error {
	return fmt.Errorf("%s %s/%s: %w", operation, b, name, b.explain(err))
}

// ErrChanged is returned by Replace if another writer changed the object.
var ErrChanged = errors.New("the object has changed")

// ErrRefused is a permanent error: the server refuses access.
var ErrRefused = errors.New("refused")

var errUnconditional = errors.New("the server does not support conditional writes")

// explain wraps the error class and adds a hint.
func (b *Bucket) explain(err error) error {
	var apiError smithy.APIError
	if !errors.As(err, &apiError) {
		if hint := tlsfiles.Hint(err); hint != "" {
			return fmt.Errorf("%w: %s", err, hint)
		}
		return err
	}
	switch apiError.ErrorCode() {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case "PreconditionFailed", "ConditionalRequestConflict":
		return fmt.Errorf("%w: %w", ErrChanged, err)
	case "NotImplemented":
		return fmt.Errorf("%w: %w", errUnconditional, err)
	case "NoSuchBucket":
		return fmt.Errorf("%w: bucket %q does not exist, create it first: %w", ErrRefused, b.name, err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"XAdminUserNotFound": // versitygw's InvalidAccessKeyId
		return fmt.Errorf("%w: invalid credentials, %s: %w", ErrRefused, missingKeysHint, err)
	case "AccessDenied", "Forbidden":
		return fmt.Errorf("%w: missing permissions, required are read, write, list and delete below %s: %w", ErrRefused, b, err)
	}
	return err
}
