"""One direction of a projected LSTM layer with its own backward pass, for truncated back-propagation through time.

Enters: the inputs of some steps and the state before them. Leaves: the outputs and the state after them. Autograd
would add up the gradients of the weights step by step; here, they are one product over all steps. Formulas: Sak et
al. 2014, sections 2 and 3, with the two clips of bilm-tf.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch

from spacy_ctx_embed.pretraining.network.workspace import Workspace


class ProjectedLstm(torch.autograd.Function):
    """``(x, weight, bias, projection, h, c, kept, clips, dtype, workspace) -> (outputs, last h, last c)``.

    * ``x`` ``(n_steps, n_rows, width)`` float32 inputs; ``outputs`` has their shape.
    * ``weight`` ``(2 * width, 4 * dim)``: the rows of the input, then those of the recurrent output; gates input,
      forget, output, then the candidate. ``bias`` ``(4 * dim,)``, ``projection`` ``(dim, width)``.
    * ``h`` ``(n_rows, width)`` and ``c`` ``(n_rows, dim)``: the state before the first step; no gradient leads out.
    * ``kept`` ``(n_steps, n_rows, 1)``: 0 where the state goes back to zeros before a step, else 1; or ``None``.
    * ``clips``: bounds of the cells and of the projected output, ``None`` for none.
    * ``dtype``: of the matrix products; all else is float32.
    * ``workspace``: memory of this layer and direction. The gradient of ``weight`` stays there until the next batch.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        projection: torch.Tensor,
        h: torch.Tensor,
        c: torch.Tensor,
        kept: Optional[torch.Tensor],
        clips: Tuple[Optional[float], Optional[float]],
        dtype: torch.dtype,
        workspace: Workspace,
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Run all steps.

        :param ctx: keeps what the backward pass needs.
        :param x: inputs.
        :param weight: weights of the gates.
        :param bias: biases of the gates.
        :param projection: weights of the projection.
        :param h: recurrent output before the first step.
        :param c: cells before the first step.
        :param kept: where the state is kept.
        :param clips: bounds of cells and outputs.
        :param dtype: of the products.
        :param workspace: memory to work in.
        :return: outputs, and the state after the last step.
        """
        n_steps, n_rows, width = x.shape
        dim = c.shape[1]
        cell_clip, proj_clip = clips
        weight, projection = weight.to(dtype), projection.to(dtype)
        inputs = x.to(dtype).view(-1, width)
        sums = workspace.take("sums", (n_steps * n_rows, 4 * dim), dtype, x.device)
        torch.mm(inputs, weight[:width], out=sums)
        sums = sums.view(n_steps, n_rows, 4 * dim)
        recurrent = weight[width:]
        gates = workspace.take("gates", (n_steps, n_rows, 4 * dim), x.dtype, x.device)
        cells, squashed, befores = workspace.take("cells", (3, n_steps, n_rows, dim), x.dtype, x.device).unbind(0)
        hidden = workspace.take("hidden", (n_steps, n_rows, dim), dtype, x.device)
        reads = workspace.take("reads", (n_steps, n_rows, width), dtype, x.device)
        outputs = torch.empty_like(x)
        for t in range(n_steps):
            if kept is not None:
                h, c = h * kept[t], c * kept[t]
            reads[t].copy_(h)
            befores[t].copy_(c)
            gate, cell, squash = gates[t], cells[t], squashed[t]
            gate.copy_(torch.addmm(sums[t], reads[t], recurrent)).add_(bias)
            gate[:, : 3 * dim].sigmoid_()
            tanh_(gate[:, 3 * dim :])
            torch.mul(gate[:, dim : 2 * dim], c, out=cell)
            cell.addcmul_(gate[:, :dim], gate[:, 3 * dim :])
            if cell_clip:
                cell.clamp_(-cell_clip, cell_clip)
            squash.copy_(cell)
            tanh_(squash)
            hidden[t].copy_(squash * gate[:, 2 * dim : 3 * dim])
            outputs[t].copy_(torch.mm(hidden[t], projection))
            if proj_clip:
                outputs[t].clamp_(-proj_clip, proj_clip)
            h, c = outputs[t], cell
        ctx.save_for_backward(inputs, weight, projection, gates, cells, squashed, befores, hidden, reads, outputs)
        ctx.kept, ctx.clips, ctx.workspace = kept, clips, workspace
        last = (h.clone(), c.clone())
        ctx.mark_non_differentiable(*last)
        return outputs, last[0], last[1]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor, *last: torch.Tensor) -> Tuple[Optional[torch.Tensor], ...]:
        r"""Go back through all steps.

        :param ctx: what the forward pass kept.
        :param grad: gradient of the outputs.
        :param \*last: gradients of the last state, which are not used.
        :return: gradients of the inputs, weights, biases and projection.
        """
        inputs, weight, projection, gates, cells, squashed, befores, hidden, reads, outputs = ctx.saved_tensors
        n_steps, n_rows, width = outputs.shape
        dim = cells.shape[2]
        cell_clip, proj_clip = ctx.clips
        dtype = weight.dtype
        to_recurrent, to_hidden = weight[width:].t(), projection.t()
        d_sums = ctx.workspace.take("d_sums", (n_steps, n_rows, 4 * dim), dtype, grad.device)
        d_outputs = ctx.workspace.take("d_outputs", (n_steps, n_rows, width), dtype, grad.device)
        dh = grad.new_zeros((n_rows, width))
        dc = grad.new_zeros((n_rows, dim))
        dz = grad.new_empty((n_rows, 4 * dim))
        for t in reversed(range(n_steps)):
            dh = grad[t] + dh
            if proj_clip:
                dh.mul_(outputs[t].abs() < proj_clip)
            d_outputs[t].copy_(dh)
            dm = torch.mm(d_outputs[t], to_hidden).to(grad.dtype)  # (n_rows, dim)
            gate, squash = gates[t], squashed[t]
            i, f, o, j = gate.split(dim, dim=1)
            di, df, do, dj = dz.split(dim, dim=1)
            torch.mul(dm, squash, out=do)
            dm.mul_(o)
            dc.addcmul_(dm, 1 - squash * squash)
            if cell_clip:
                dc.mul_(cells[t].abs() < cell_clip)
            torch.mul(dc, j, out=di)
            torch.mul(dc, befores[t], out=df)
            torch.mul(dc, i, out=dj)
            part = gate[:, : 3 * dim]
            dz[:, : 3 * dim].mul_(part - part * part)
            dj.mul_(1 - j * j)
            d_sums[t].copy_(dz)
            dc.mul_(f)
            dh = torch.mm(d_sums[t], to_recurrent).to(grad.dtype)
            if ctx.kept is not None:
                dh.mul_(ctx.kept[t])
                dc.mul_(ctx.kept[t])
        flat = d_sums.view(-1, 4 * dim)
        d_weight = ctx.workspace.take("d_weight", (2 * width, 4 * dim), grad.dtype, grad.device)
        for half, read in zip(d_weight.chunk(2), (inputs, reads.view(-1, width))):
            half.copy_(torch.mm(read.t(), flat))
        d_bias = torch.mm(flat.new_ones((1, len(flat))), flat)[0].float()  # faster than a sum
        d_projection = torch.mm(hidden.view(-1, dim).t(), d_outputs.view(-1, width)).float()
        d_x = torch.mm(flat, weight[:width].t()).float().view_as(outputs) if ctx.needs_input_grad[0] else None
        return d_x, d_weight, d_bias, d_projection, None, None, None, None, None, None


def tanh_(x: torch.Tensor) -> torch.Tensor:
    """Compute tanh in place; on a CPU through the sigmoid, which torch computes several times faster.

    :param x: float32 numbers.
    :return: the same tensor.
    """
    if x.device.type != "cpu":
        return x.tanh_()
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)
