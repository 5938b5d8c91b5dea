package eventstore

import (
	"context"
	"errors"

	"github.com/chancery-dev/chancery/domain"
)

// ChangeDirectory carries out one command on an organization's directory.
// Durability and errors are those of [Executor.ChangeSecret], with what
// [domain.DecideDirectory] refuses; a repeated key issue is
// key_already_issued.
func (x *Executor) ChangeDirectory(ctx context.Context, req domain.DirectoryRequest) (domain.DirectoryResult, error) {
	actor := domain.Actor{Kind: domain.ActorAgent, ID: string(req.Principal.Agent), KeyID: req.Principal.Key}
	return x.changeDirectory(ctx, req, actor)
}

// ChangeDirectoryAsSystem is ChangeDirectory by a part of the system itself,
// for a server that nobody can administer any more. name stands in the record
// as the actor.
func (x *Executor) ChangeDirectoryAsSystem(ctx context.Context, org domain.OrgID, c domain.DirectoryCommand, name string) (domain.DirectoryResult, error) {
	return x.changeDirectory(ctx, domain.DirectoryRequest{Org: org, Command: c}, domain.Actor{Kind: domain.ActorSystem, ID: name})
}

func (x *Executor) changeDirectory(ctx context.Context, req domain.DirectoryRequest, actor domain.Actor) (domain.DirectoryResult, error) {
	stream := domain.DirectoryStream{Org: req.Org}
	operation := domain.DirectoryOperation(req.Org, req.Command)
	for range maxAttempts {
		var event domain.Event
		var version, head uint64
		known := x.State.Position()
		refusal := x.State.Directory(req.Org, func(d *domain.Directory) (err error) {
			version, head = d.Version, d.Head
			event, err = domain.DecideDirectory(d, req.Command)
			return err
		})
		// Looked up after the state was read, as for a secret.
		hit, found, err := x.repeated(req.Principal, operation, req.Origin)
		if err != nil {
			return domain.DirectoryResult{}, err
		}
		if found {
			return x.repeatDirectory(ctx, req, hit)
		}
		if refusal != nil {
			return domain.DirectoryResult{}, refusal
		}
		if event == nil {
			return domain.DirectoryResult{Position: x.State.Position()}, nil
		}
		p, err := x.proposeAs(actor, req.Origin, version)
		if err != nil {
			return domain.DirectoryResult{}, err
		}
		p.Event, p.Known = event, known
		r, err := x.append(ctx, stream, head, p)
		if errors.Is(err, ErrConflict) {
			if err := x.catchUp(ctx); err != nil {
				return domain.DirectoryResult{}, err
			}
			continue
		}
		if err != nil {
			return domain.DirectoryResult{}, err
		}
		x.await(ctx, r.Position)
		return domain.DirectoryResult{Event: r.Event, Position: r.Position}, nil
	}
	return domain.DirectoryResult{}, errLostRace()
}

// await lets the projection apply a durable event before its answer leaves.
// That it takes too long does not make the change a failure: the answer names
// the position, and a reader may ask for it.
func (x *Executor) await(ctx context.Context, position uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	_ = x.Awaiter.WaitFor(ctx, position)
}
