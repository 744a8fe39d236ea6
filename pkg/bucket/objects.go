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

// Get reads a small object, and its tag. The error is fs.ErrNotExist if there is none.
func (b *Bucket) Get(ctx context.Context, name string) (data []byte, tag string, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	got, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.key(name))})
	if err == nil {
		defer got.Body.Close()
		data, err = io.ReadAll(got.Body)
	}
	if err != nil {
		return nil, "", b.failed("read", name, err)
	}
	return data, aws.ToString(got.ETag), nil
}

// GetForReplace is Get with a tag that Replace can rely on. Some servers keep the tag beside
// the object, and answer a read during a write with the old object and the new tag: by that,
// Replace would undo the write. Most tags are the MD5 of the object, so that this is seen, and
// soon over. Where tags are something else, as under a key of Amazon's, it costs a moment.
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

// Put writes a small object in one step.
func (b *Bucket) Put(ctx context.Context, name string, data []byte) error {
	return b.put(ctx, name, data, func(*s3.PutObjectInput) {})
}

// Replace writes a small object in one step if it is still the one that has the tag, or,
// where the tag is "", if there is none; otherwise the error is ErrChanged. A server that
// cannot compare is told to write all the same.
func (b *Bucket) Replace(ctx context.Context, name string, data []byte, tag string) error {
	err := b.put(ctx, name, data, func(in *s3.PutObjectInput) {
		if tag == "" {
			in.IfNoneMatch = aws.String("*")
		} else {
			in.IfMatch = &tag
		}
	})
	if errors.Is(err, errCannotCompare) {
		slog.WarnContext(ctx, "the object store has no conditional writes: only one at a time may publish", "store", b)
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
		return b.failed("write", name, err)
	}
	return nil
}

// Upload writes a file of any size; nobody sees a part of it.
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
		return b.failed("upload "+filepath.Base(path)+" to", name, err)
	}
	return nil
}

// Download writes an object of any size to a file, and to the disk.
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
		return b.failed("download", name, err)
	}
	return file.Sync()
}

// Object describes a stored object.
type Object struct {
	Name    string    // below the prefix
	Bytes   int64     // size
	Changed time.Time // last modification
}

// List returns the objects whose names begin with a prefix, sorted by name.
func (b *Bucket) List(ctx context.Context, beginning string) (objects []Object, err error) {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{
		Bucket: &b.name, Prefix: aws.String(b.key(beginning)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.failed("list", beginning, err)
		}
		for _, o := range page.Contents {
			objects = append(objects, Object{
				Name: b.nameOf(aws.ToString(o.Key)), Bytes: aws.ToInt64(o.Size), Changed: aws.ToTime(o.LastModified),
			})
		}
	}
	return objects, nil
}

// Delete removes an object, or does nothing where there is none.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	if _, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: aws.String(b.key(name))}); err != nil {
		return b.failed("delete", name, err)
	}
	return nil
}

// AbortUploads frees what uploads hold that began before a time and never ended.
func (b *Bucket) AbortUploads(ctx context.Context, beginning string, before time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, smallTimeout)
	defer cancel()
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{
		Bucket: &b.name, Prefix: aws.String(b.key(beginning)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return b.failed("list the uploads to", beginning, err)
		}
		for _, u := range page.Uploads {
			if u.Initiated == nil || !u.Initiated.Before(before) {
				continue
			}
			in := &s3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId}
			if _, err := b.client.AbortMultipartUpload(ctx, in); err != nil {
				return b.failed("abort the upload of", b.nameOf(aws.ToString(u.Key)), err)
			}
		}
	}
	return nil
}
