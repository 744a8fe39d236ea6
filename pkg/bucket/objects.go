package bucket

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"genrec/pkg/backoff"
)

// Get reads a small object and its ETag. The error is fs.ErrNotExist if there is none.
func (b *Bucket) Get(ctx context.Context, name string) (data []byte, tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	got, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.key(name))})
	if err == nil {
		defer got.Body.Close()
		data, err = io.ReadAll(got.Body)
	}
	if err != nil {
		return nil, "", b.wrap("read", name, err)
	}
	return data, aws.ToString(got.ETag), nil
}

// GetForReplace is Get with an ETag that is safe to pass to Replace. Some servers store the ETag
// separately and return the old object with the new ETag during a write; Replace would then revert
// that write. Most ETags are the MD5 of the object, so that such a torn read is detected and repeated.
// If the ETag is not an MD5, as with encryption by a KMS key, this costs a short delay.
func (b *Bucket) GetForReplace(ctx context.Context, name string) (data []byte, tag string, err error) {
	for range tornReads {
		data, tag, err = b.Get(ctx, name)
		if err != nil || tag == fmt.Sprintf(`"%x"`, md5.Sum(data)) {
			break
		}
		if err := backoff.Sleep(ctx, tornPause); err != nil {
			return nil, "", err
		}
	}
	return data, tag, err
}

// Put writes a small object atomically.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	return b.put(ctx, name, data, func(*s3.PutObjectInput) {})
}

// Replace writes a small object if its ETag is still tag, or, if tag is "", if it does not exist;
// otherwise the error is ErrChanged. On a server without conditional writes it logs a warning and
// writes unconditionally.
func (b *Bucket) Replace(ctx context.Context, name string, data []byte, tag string) error {
	err := b.put(ctx, name, data, func(in *s3.PutObjectInput) {
		if tag == "" {
			in.IfNoneMatch = aws.String("*")
		} else {
			in.IfMatch = &tag
		}
	})
	if errors.Is(err, errUnconditional) {
		slog.WarnContext(ctx, "the object store does not support conditional writes: do not publish from several processes at once", "store", b)
		return b.Put(ctx, name, data)
	}
	return err
}

func (b *Bucket) put(ctx context.Context, name string, data []byte, condition func(*s3.PutObjectInput)) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	in := &s3.PutObjectInput{Bucket: &b.name, Key: aws.String(b.key(name)), Body: bytes.NewReader(data)}
	condition(in)
	if _, err := b.client.PutObject(ctx, in); err != nil {
		return b.wrap("write", name, err)
	}
	return nil
}

// Upload uploads a file of any size atomically.
func (b *Bucket) Upload(ctx context.Context, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = b.transfers.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &b.name, Key: aws.String(b.key(name)), Body: file,
	})
	if err != nil {
		return b.wrap("upload "+filepath.Base(path)+" to", name, err)
	}
	return nil
}

// Download downloads an object of any size to a file and syncs it to disk.
func (b *Bucket) Download(ctx context.Context, name, path string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = b.transfers.DownloadObject(ctx, &transfermanager.DownloadObjectInput{
		Bucket: &b.name, Key: aws.String(b.key(name)), WriterAt: file,
	})
	if err != nil {
		return b.wrap("download", name, err)
	}
	return file.Sync()
}

// Object is an entry of List.
type Object struct {
	Name    string    // relative to the prefix
	Bytes   int64     // size
	Changed time.Time // last modification
}

// List lists the objects with a name prefix, ordered by name.
func (b *Bucket) List(ctx context.Context, namePrefix string) (objects []Object, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{
		Bucket: &b.name, Prefix: aws.String(b.key(namePrefix)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.wrap("list", namePrefix, err)
		}
		for _, o := range page.Contents {
			objects = append(objects, Object{
				Name: b.nameOf(aws.ToString(o.Key)), Bytes: aws.ToInt64(o.Size), Changed: aws.ToTime(o.LastModified),
			})
		}
	}
	return objects, nil
}

// Delete deletes an object, if it exists.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: aws.String(b.key(name))}); err != nil {
		return b.wrap("delete", name, err)
	}
	return nil
}

// AbortUploads aborts unfinished multipart uploads that were started before a time.
func (b *Bucket) AbortUploads(ctx context.Context, namePrefix string, before time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{
		Bucket: &b.name, Prefix: aws.String(b.key(namePrefix)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.wrap("list uploads to", namePrefix, err)
		}
		for _, u := range page.Uploads {
			if u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			in := &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId}
			if _, err := b.client.AbortMultipartUpload(ctx, in); err != nil {
				return b.wrap("abort upload of", b.nameOf(aws.ToString(u.Key)), err)
			}
		}
	}
	return nil
}
