// Package bucket owns how to reach an S3-compatible object store, and what to do about a
// refusal.
package bucket

import (
	"context"
	"errors"
	"fmt"
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
)

// Scheme begins the locations that Open takes.
const Scheme = "s3://"

const (
	attempts        = 6                // of a request that may succeed later, with pauses up to 20 s
	headerTimeout   = time.Minute      // until an answer begins
	smallTimeout    = 30 * time.Second // of a request for something small, with all its attempts
	partBytes       = 16 << 20         // of what goes over the line at once, per file
	partsAtOnce     = 4
	tornReads       = 6
	tornPause       = 50 * time.Millisecond
	anyRegion       = "us-east-1" // for servers that have no regions
	missingKeysHint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile by AWS_PROFILE, or run under a role"
)

// Bucket is the part of a bucket below a prefix. It is safe for concurrent use.
type Bucket struct {
	name, prefix string
	client       *s3.Client
	transfers    *transfermanager.Client
}

// Open reads a location like s3://bucket/prefix?endpoint=http://host:9000&region=eu-west-1:
// without endpoint it is Amazon's, and without region that of the environment. Credentials
// are those that the AWS tools would take: variables, the profile, the role of the machine.
func Open(ctx context.Context, location string) (*Bucket, error) {
	b, endpoint, region, err := parse(location)
	if err != nil {
		return nil, err
	}
	settings := []func(*config.LoadOptions) error{
		config.WithRetryMaxAttempts(attempts),
		config.WithHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.ResponseHeaderTimeout = headerTimeout
		})),
		// What matters is compared with a SHA-256 of our own; not every server knows the
		// checksums that Amazon's does.
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
		return nil, errors.New("the region is not known: set AWS_REGION, or add ?region=… to the location")
	}
	if c.Region == "" {
		c.Region = anyRegion
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("there are no credentials: %s (%w)", missingKeysHint, err)
	}
	b.client = s3.NewFromConfig(c, func(o *s3.Options) {
		o.DisableLogOutputChecksumValidationSkipped = true
		if endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = &endpoint, true
		}
	})
	b.transfers = transfermanager.New(b.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.Concurrency = partBytes, partsAtOnce
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
			err = reason.Err // the other part quotes the location, which may hold a secret
		}
		return nil, "", "", fmt.Errorf("it is no URL: %w", err)
	}
	if u.User != nil {
		return nil, "", "", errors.New("credentials do not belong into a location: " + missingKeysHint)
	}
	if u.Scheme+"://" != Scheme || u.Host == "" || u.Fragment != "" {
		return nil, "", "", errors.New("it is not like s3://bucket/prefix")
	}
	for name, values := range u.Query() {
		switch {
		case name == "endpoint" && len(values) == 1:
			endpoint = values[0]
		case name == "region" && len(values) == 1:
			region = values[0]
		default:
			return nil, "", "", fmt.Errorf("only endpoint and region can follow the ?, each once: %.40q cannot", name)
		}
	}
	if e, err := url.Parse(endpoint); endpoint != "" && (err != nil || e.Host == "" || e.User != nil || e.Scheme != "http" && e.Scheme != "https") {
		return nil, "", "", errors.New("the endpoint is not like http://host:9000 or https://host")
	}
	return &Bucket{name: u.Host, prefix: strings.Trim(u.Path, "/")}, endpoint, region, nil
}

// String is the location without the settings.
func (b *Bucket) String() string {
	return strings.TrimSuffix(Scheme+path.Join(b.name, b.prefix), "/")
}

// key is where an object lies in the bucket.
func (b *Bucket) key(name string) string { return b.below() + name }

func (b *Bucket) nameOf(key string) string { return strings.TrimPrefix(key, b.below()) }

// below is what all keys begin with.
func (b *Bucket) below() string {
	if b.prefix == "" {
		return ""
	}
	return b.prefix + "/"
}

func (b *Bucket) failed(what, name string, err error) error {
	return fmt.Errorf("%s %s/%s: %w", what, b, name, b.explain(err))
}
