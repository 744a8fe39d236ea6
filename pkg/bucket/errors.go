package bucket

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/aws/smithy-go"

	"genrec/pkg/tlsfiles"
)

// ErrChanged says that another writer was first.
var ErrChanged = errors.New("it has changed meanwhile")

// ErrRefused says that the server does not let us in: another attempt meets the same.
var ErrRefused = errors.New("refused")

var errCannotCompare = errors.New("the server has no conditional writes")

// explain adds what the error means to others, and what is to be done.
func (b *Bucket) explain(err error) error {
	var answer smithy.APIError
	if !errors.As(err, &answer) {
		if remedy := tlsfiles.Hint(err); remedy != "" {
			return fmt.Errorf("%w: %s", err, remedy)
		}
		return err
	}
	switch answer.ErrorCode() {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	case "PreconditionFailed", "ConditionalRequestConflict":
		return fmt.Errorf("%w: %w", ErrChanged, err)
	case "NotImplemented":
		return fmt.Errorf("%w: %w", errCannotCompare, err)
	case "NoSuchBucket":
		return fmt.Errorf("%w: there is no bucket %q, make it first: %w", ErrRefused, b.name, err)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"XAdminUserNotFound": // versitygw's InvalidAccessKeyId
		return fmt.Errorf("%w: the server does not know the credentials, %s: %w", ErrRefused, missingKeysHint, err)
	case "AccessDenied", "Forbidden":
		return fmt.Errorf("%w: the credentials lack the right, which are to read, write, list and delete below %s: %w", ErrRefused, b, err)
	}
	return err
}
