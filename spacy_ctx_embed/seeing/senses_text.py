"""The words of the page of senses, in English and Chinese."""

from __future__ import annotations

from typing import Dict

TEXTS: Dict[str, Dict[str, str]] = {
    "en": {
        "lang": "en",
        "title": "Static against contextual, seen",
        "lead": "Each point is one use of a word. A static vector is the same in every sentence; a contextual one "
        "changes with the sentence, so uses of one sense can lie together. Distances on a plane are only part of the "
        "story: the table below has the cosines of the whole vectors.",
        "corpus": "Corpus: %(corpus)s, at most %(limit)s uses of a word.",
        "missing": "Not in this corpus, and so not on this page: %(words)s.",
        "corrected": "%(name)s: %(of)s with the correction “%(kind)s”, fitted for each layer on all %(n)s tokens "
        "that have a vector on the lines read; a vector has %(width)s columns.",
        "few": "These are few tokens for so many columns: what “whiten” shows here is mostly noise.",
        "words": "Words",
        "slider": "Depth, from first to last layer",
        "slider_help": "One slider for all contextual sources. Arrow keys move it.",
        "scatter": "The uses on a plane",
        "by_pca": "The first two principal components of each layer; both axes have one scale.",
        "by_umap": "UMAP of the cosines in each layer: near uses stay near, but long distances and sizes of groups "
        "mean nothing. A layer with two percentages has fewer than eight different vectors: it is drawn by PCA.",
        "scatter_help": "Point at a use, or reach it by Tab and the arrow keys, to read its sentence; Enter chooses it "
        "for the lists below.",
        "by_sense": "Colour and shape: sense.",
        "by_cluster": "No sense labels: colour and shape are clusters (k-means, k by silhouette), found anew in each "
        "layer; they are a guess, and colours of two layers have nothing to do with each other.",
        "one": "One point for all %(n)s uses: a static table has one row for a word, whatever the sentence says.",
        "several": "%(distinct)s different vectors for %(n)s uses: a static table has one row for each written form, "
        "whatever the sentence says.",
        "no_row": "“%(word)s” has no row in this source, so that there is nothing to draw.",
        "partly": "%(n)s of %(all)s uses have a vector in this source; only these are drawn and measured.",
        "use": "Use",
        "nearest": "Nearest uses",
        "nearest_help": "Cosine of whole vectors, in the layer that the slider shows.",
        "near_words": "Near words of the static table",
        "no_table": "No pipeline component here has a table of words for this word.",
        "alike": "All uses are equally near: they have one vector.",
        "layer_one": "One point: in this layer all uses have one vector, that of the word without its sentence.",
        "only_one": "There is no other use.",
        "matrix": "Each use against each",
        "matrix_help": "Cosines, ordered by sense: darker is nearer, and lines part the senses. Where a layer tells "
        "the senses apart, there are dark squares along the diagonal.",
        "sample": "Of the %(n)s uses a sample of %(sample)s is shown.",
        "range": "light",
        "range_to": "dark",
        "table": "How far the senses are apart",
        "table_help": "AUC: how often a pair of one sense is nearer than a pair of two senses; 0.5 is chance, 1 is "
        "always. In brackets the 95% bootstrap interval over uses. Mean cosines of two sources or layers can't be "
        "compared with each other; AUC can.",
        "no_labels": "No two labelled senses, so there is no AUC. The silhouette says how clear the clusters are (1: "
        "clear, 0: not at all).",
        "source": "source",
        "layer": "layer",
        "same": "same sense",
        "different": "different senses",
        "auc": "AUC",
        "silhouette": "silhouette",
        "clusters": "clusters",
        "uses": "All uses",
        "sense": "sense",
        "cluster": "cluster",
        "unlabelled": "no label",
        "n_uses": "%(n)s uses",
        "of": "of",
        "noscript": "The drawings need JavaScript. The tables and all uses are below without it.",
        "similarity": "similarity",
    },
    "zh": {
        "lang": "zh-CN",
        "title": "静态与上下文向量：看得见的区别",
        "lead": "每个点是一个词的一次用法。静态向量在每个句子里都一样；上下文向量随句子变化，"
        "所以同一词义的用法可以聚在一起。平面上的距离只是一部分，下面的表给出完整向量的余弦。",
        "corpus": "语料：%(corpus)s，每个词至多 %(limit)s 次用法。",
        "missing": "语料里没有、因此本页也没有的词：%(words)s。",
        "corrected": "%(name)s：%(of)s 加上校正“%(kind)s”，每层各自在所读各行中有向量的全部 %(n)s 个 token 上拟合；"
        "每个向量 %(width)s 列。",
        "few": "相对于列数，token 太少：“whiten”在这里显示的多半是噪声。",
        "words": "词",
        "slider": "深度：从第一层到最后一层",
        "slider_help": "一个滑块控制所有上下文来源，可用方向键移动。",
        "scatter": "平面上的用法",
        "by_pca": "每层的前两个主成分，两轴比例相同。",
        "by_umap": "每层余弦的 UMAP：相近的用法仍然相近，但远距离和各组的大小没有意义。"
        "标有两个百分数的层不同的向量少于八个，画的是主成分。",
        "scatter_help": "用鼠标指向一个点，或用 Tab 和方向键移到它，就能读到它的句子；"
        "按回车选中它，下面的列表随之更新。",
        "by_sense": "颜色和形状表示词义。",
        "by_cluster": "没有词义标注：颜色和形状表示聚类（k-means，k 由轮廓系数选出），每层各自重新聚类；"
        "聚类只是猜测，两层之间的颜色没有对应关系。",
        "one": "全部 %(n)s 次用法是一个点：静态表里一个词只有一行，与句子无关。",
        "several": "%(n)s 次用法有 %(distinct)s 个不同的向量：静态表里每个写法一行，与句子无关。",
        "no_row": "“%(word)s”在这个来源里没有向量，所以没有可画的内容。",
        "partly": "%(all)s 次用法中有 %(n)s 次在这个来源里有向量；只画出和度量这些。",
        "use": "用法",
        "nearest": "最近的用法",
        "nearest_help": "完整向量的余弦，取滑块所示的层。",
        "near_words": "静态表里的邻近词",
        "no_table": "流水线里没有哪个组件的词表含有这个词。",
        "alike": "所有用法同样近：它们是同一个向量。",
        "layer_one": "一个点：在这一层，所有用法是同一个向量，即不看句子的词向量。",
        "only_one": "没有其他用法。",
        "matrix": "用法两两比较",
        "matrix_help": "余弦，按词义排序：越深越近，细线分开词义。能区分词义的层，对角线上会出现深色方块。",
        "sample": "%(n)s 次用法中抽样显示 %(sample)s 次。",
        "range": "浅",
        "range_to": "深",
        "table": "词义分得多开",
        "table_help": "AUC：同一词义的一对比不同词义的一对更近的频率；0.5 是随机，1 是总是如此。"
        "方括号里是对用法做自助法得到的 95% 区间。不同来源或不同层的平均余弦不能互相比较，AUC 可以。",
        "no_labels": "没有两个有标注的词义，所以没有 AUC。轮廓系数说明聚类有多清楚（1：清楚，0：完全不清楚）。",
        "source": "来源",
        "layer": "层",
        "same": "同义",
        "different": "异义",
        "auc": "AUC",
        "silhouette": "轮廓系数",
        "clusters": "聚类数",
        "uses": "全部用法",
        "sense": "词义",
        "cluster": "聚类",
        "unlabelled": "无标注",
        "n_uses": "%(n)s 次用法",
        "of": "/",
        "noscript": "图需要 JavaScript。表格和全部用法在下面，没有它也能读。",
        "similarity": "相似度",
    },
}
