//! What do the pages say, in which language? All words stand in one table; `{name}` is filled in.

/// A language of the pages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

impl Lang {
    /// The language of a code such as `zh`, `zh-CN` or `en`; English for any other.
    pub fn from_code(code: &str) -> Self {
        Self::known(code).unwrap_or_default()
    }

    /// The first language of an `Accept-Language` header that we speak, by its weights; English where there is none.
    pub fn from_header(header: &str) -> Self {
        let mut best = (0.0, Self::En);
        for entry in header.split(',').take(32) {
            let (code, weight) = entry.split_once(";q=").unwrap_or((entry, "1"));
            let weight = weight.trim().parse::<f32>().unwrap_or(0.0);
            if let Some(lang) = Self::known(code).filter(|_| weight > best.0) {
                best = (weight, lang);
            }
        }
        best.1
    }

    fn known(code: &str) -> Option<Self> {
        match code.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    /// `en` or `zh`: for `?lang=` and the cookie.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// For the `lang` attribute.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh-CN",
        }
    }

    pub(crate) fn own_name(self) -> &'static str {
        match self {
            Self::En => "English",
            Self::Zh => "中文",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::En => Self::Zh,
            Self::Zh => Self::En,
        }
    }

    pub(crate) fn text(self, word: Word) -> &'static str {
        let (_, english, chinese) = WORDS[word as usize];
        match self {
            Self::En => english,
            Self::Zh => chinese,
        }
    }

    /// The words with each `{name}` replaced; a value is never looked into again.
    pub(crate) fn fill(self, word: Word, values: &[(&str, &str)]) -> String {
        let mut rest = self.text(word);
        let mut out = String::with_capacity(rest.len() + 16);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(["{", name, "}"]),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

macro_rules! words {
    ($($key:ident: $english:literal, $chinese:literal;)*) => {
        /// An entry of the table.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Word { $($key,)* }

        /// Each entry in English and in Chinese.
        pub(crate) const WORDS: &[(Word, &str, &str)] = &[$((Word::$key, $english, $chinese),)*];
    };
}

words! {
    // -- frame
    SkipToContent: "Skip to content", "跳到正文";
    Navigation: "Main navigation", "主导航";
    NavOverview: "Overview", "总览";
    NavData: "Data", "数据";
    NavRuns: "Runs", "训练";
    NavModels: "Models", "模型";
    NavTry: "Try it", "试用";
    Project: "Project", "项目";
    ThemeSwitch: "Switch between light and dark", "切换浅色与深色";
    FooterLocal: "Everything on this page comes from this server.", "本页所有内容均来自本服务器。";
    ReportFooter: "This file holds everything it shows and loads nothing.", "本文件自带全部内容，不加载任何外部资源。";
    BackToOverview: "Back to the overview", "返回总览";
    OnThisPage: "On this page", "本页目录";
    Copy: "Copy", "复制";
    Actions: "Actions", "操作";
    ChartNumbers: "Numbers of this chart", "查看图中数据";
    RowsLeftOut: "{count} more rows are not listed.", "另有 {count} 行未列出。";
    UnitMicrosecond: "µs", "微秒";
    UnitMs: "ms", "毫秒";
    UnitSecond: "s", "秒";
    UnitMinute: "min", "分";
    UnitHour: "h", "小时";
    // -- what app.js says
    JsCopied: "Copied.", "已复制。";
    JsCopyFailed: "Copying is not possible here; select the text instead.", "此处无法复制，请手动选中文本。";
    JsSending: "Sending …", "正在发送……";
    JsDone: "Done.", "已完成。";
    JsFailed: "The server refused with status {status}.", "服务器拒绝了请求，状态码 {status}。";
    JsUnreachable: "The server can not be reached.", "无法连接服务器。";
    JsAnswer: "The model answers", "模型的回答";
    JsEpoch: "Epoch {epoch}: training loss {loss}, {metric} on validation rows {value}.", "第 {epoch} 轮：训练损失 {loss}，验证集 {metric} 为 {value}。";
    JsRunSucceeded: "The run has finished and made version {version}.", "训练已完成，生成了版本 {version}。";
    JsRunStopped: "The run was stopped; it can be resumed.", "训练已停止，可以继续。";
    JsRunFailed: "The run failed: {reason}", "训练失败：{reason}";
    JsNotConfident: "Below the confidence this endpoint asks for.", "低于该端点要求的置信度。";
    JsDrawFirst: "Draw or choose a picture first.", "请先手绘或选择一张图片。";
    JsCleared: "Cleared.", "已清空。";
    JsChosen: "Picture chosen.", "已选择图片。";
    JsPickFailed: "This file can not be read.", "无法读取该文件。";
    JsNoChart: "The chart library did not load; the numbers stand below.", "图表库未能加载，数据见下方表格。";
    JsMilliseconds: "{ms} ms there and back", "往返 {ms} 毫秒";
    // -- words of many pages
    Source: "Source", "数据源";
    Sources: "Sources", "数据源";
    Tables: "Tables", "表";
    Model: "Model", "模型";
    Models: "Models", "模型";
    Version: "Version", "版本";
    Versions: "Versions", "版本";
    VersionNumber: "version {version}", "版本 {version}";
    Run: "Run", "训练";
    RunNumber: "run {run}", "训练 {run}";
    Endpoint: "Endpoint", "端点";
    Endpoints: "Endpoints", "端点";
    Status: "Status", "状态";
    Metric: "Metric", "指标";
    Test: "Test", "测试集";
    Validation: "Validation", "验证集";
    TestScore: "Test score", "测试得分";
    ValidationScore: "Validation score", "验证得分";
    CrossValidation: "Cross-validation", "交叉验证";
    FoldsCount: "{count} folds, mean ± deviation", "{count} 折，均值 ± 标准差";
    Baseline: "Baseline", "基线";
    BaselineIs: "baseline {value}", "基线 {value}";
    Row: "Row", "行";
    Rows: "Rows", "行数";
    RowsCount: "{count} rows", "{count} 行";
    Column: "Column", "列";
    Columns: "Columns", "列数";
    Class: "Class", "类别";
    Kind: "Kind", "类型";
    Truth: "Truth", "真实值";
    Answer: "Answer", "回答";
    Confidence: "Confidence", "置信度";
    Threshold: "Threshold", "阈值";
    Probabilities: "Probabilities", "各类别概率";
    From: "From", "起";
    To: "To", "止";
    Size: "Size", "大小";
    Settings: "Settings", "设置";
    ShowSettings: "Show all settings", "查看全部设置";
    StatusReady: "ready", "就绪";
    StatusLoading: "loading", "加载中";
    StatusUnavailable: "unavailable", "不可用";
    StatusRunning: "running", "进行中";
    StatusSucceeded: "finished", "已完成";
    StatusStopped: "stopped", "已停止";
    StatusInterrupted: "interrupted", "已中断";
    StatusFailed: "failed", "失败";
    Champion: "champion", "当前冠军";
    Kept: "kept", "备选";
    // -- overview
    OverviewTitle: "Overview", "总览";
    OverviewLead: "What serves, how good it is, and what ran last.", "正在服务的模型、其表现以及最近的训练。";
    PredictionsServed: "Rows answered", "已回答行数";
    Requests: "Requests", "请求数";
    LastRuns: "Last runs", "最近的训练";
    AllRuns: "All runs", "全部训练";
    NoRuns: "Nothing has been trained yet.", "尚未训练任何模型。";
    NoEndpoints: "No endpoint serves yet. What to do next:", "还没有端点提供服务。接下来：";
    StepInit: "Look at a file and write a project file for it.", "读取一个文件，并为它生成项目文件。";
    StepRun: "Collect, train, evaluate and register the models.", "采集数据，训练、评估并登记模型。";
    StepEndpoint: "Name an endpoint in the project file and start the server again.", "在项目文件中定义端点，然后重新启动服务器。";
    // -- data
    DataTitle: "Data", "数据";
    DataLead: "The tables of this project, and what their last audit found.", "本项目的表，以及最近一次审查的结果。";
    NoTables: "This project has no tables yet.", "本项目还没有表。";
    Audited: "Audited", "审查时间";
    NotAudited: "not audited", "未审查";
    NotAuditedHint: "This table has not been audited yet:", "该表尚未审查，请运行：";
    AuditErrors: "errors", "有错误";
    AuditFindings: "findings", "有发现";
    AuditClean: "nothing found", "未发现问题";
    ShowQuery: "Show the query", "查看查询语句";
    Where: "Where", "位置";
    DataAudit: "Data", "数据";
    DataAuditLead: "What the rows hold, and what may be wrong with them.", "数据的内容，以及可能存在的问题。";
    Errors: "Errors", "错误";
    Warnings: "Warnings", "警告";
    Notes: "Notes", "提示";
    Findings: "Findings", "审查发现";
    NoFindings: "The audit found nothing to report.", "审查没有发现问题。";
    ExampleRows: "for example rows {rows}", "例如第 {rows} 行";
    SeverityError: "error", "错误";
    SeverityWarning: "warning", "警告";
    SeverityInfo: "note", "提示";
    FoundMissing: "{value} of the values of column {column} are missing", "列 {column} 有 {value} 的值缺失";
    FoundInfinite: "{value} of the values of column {column} are infinite", "列 {column} 有 {value} 的值为无穷大";
    FoundConstant: "column {column} has one value only", "列 {column} 只有一个取值，不提供任何信息";
    FoundIdentifier: "column {column} looks like an identifier", "列 {column} 几乎每行取值都不同，像是标识符";
    FoundDuplicates: "{value} of the rows are duplicates", "{value} 的行是重复的";
    FoundConflicts: "{value} of the rows have equal features and different targets", "{value} 的行特征相同而目标不同";
    FoundOutliers: "{value} of the values of column {column} are outliers", "列 {column} 有 {value} 的值是离群值";
    FoundImbalance: "the classes of {column} are unbalanced ({value})", "目标 {column} 的类别不均衡（{value}）";
    FoundLeak: "column {column} gives the target away ({value})", "列 {column} 泄露了目标（强度 {value}）";
    FoundOverlap: "{value} of the test rows are training rows too", "{value} 的测试行也出现在训练数据中";
    FoundPersonal: "column {column} has personal data in {value} of its values", "列 {column} 有 {value} 的值含个人信息";
    FoundEncoding: "{value} of the values of column {column} were read in the wrong encoding", "列 {column} 有 {value} 的值编码有误（乱码）";
    FoundNearDuplicates: "{value} of the rows are nearly the same as another", "{value} 的行与另一行几乎相同";
    FoundNearOverlap: "{value} of the test rows are nearly training rows", "{value} 的测试行与训练行几乎相同";
    FoundLabels: "{value} of the rows may have the wrong {column}", "{value} 的行的 {column} 可能标错";
    // -- audit page
    AuditOf: "Audit of {project}", "“{project}”的数据审查";
    ModelAndTable: "Model {model}, table {table}", "模型 {model}，表 {table}";
    Expectations: "Expectations", "期望检查";
    ExpectationsLead: "What the project file promises of the rows, and whether they keep it.", "项目文件对数据的约定，以及数据是否满足。";
    NoExpectations: "The project file expects nothing of its tables yet. To have some suggested:", "项目文件尚未定义任何期望。生成建议：";
    Expectation: "Expectation", "期望";
    Observed: "Found", "结果";
    AllHold: "all {checked} do", "{checked} 项全部符合";
    SomeFail: "{failing} of {checked} ({share}) do not", "{checked} 项中有 {failing} 项不符（{share}）";
    Checked: "Checked", "检查数";
    Failing: "Failing", "不符数";
    AllowedShare: "Allowed", "允许比例";
    FailingRowsIn: "first failing rows: {file}", "不符的行（前若干）：{file}";
    ExpectationPassed: "PASS", "通过";
    ExpectationWarned: "WARN", "警告";
    ExpectationFailed: "FAIL", "未通过";
    ExpectationNotChecked: "not checked", "未检查";
    Passed: "Passed", "通过";
    Failed: "Failed", "未通过";
    Warned: "Warned", "警告";
    ExpectNotNull: "not null", "非空";
    ExpectUnique: "unique", "唯一";
    ExpectRange: "range", "取值范围";
    ExpectMatches: "matches", "匹配模式";
    ExpectOneOf: "one of", "属于集合";
    ExpectForeignKey: "foreign key", "外键";
    ExpectRowCount: "row count", "行数";
    ExpectFresh: "fresh", "新鲜度";
    ExpectDrift: "drift", "分布漂移";
    ExpectSql: "SQL", "SQL 查询";
    ColumnsOf: "Columns", "各列";
    ColumnsLeftOut: "{count} more columns are not listed.", "另有 {count} 列未列出。";
    Missing: "Missing", "缺失";
    Distinct: "Distinct", "不同值";
    Figures: "Mean and range", "均值与范围";
    Distribution: "Distribution", "分布";
    Mean: "mean", "均值";
    HistogramOf: "Histogram of {column} from {min} to {max}", "{column} 的直方图，范围 {min} 至 {max}";
    MoreValues: "and {count} more values", "另有 {count} 个值";
    KindNumber: "number", "数值";
    KindCategory: "category", "类别";
    KindBoolean: "boolean", "布尔";
    KindDate: "date", "日期";
    KindImage: "picture", "图片";
    KindText: "text", "文本";
    KindLeftOut: "left out", "未使用";
    // -- runs
    RunsTitle: "Runs", "训练";
    RunsLead: "Every training, newest first.", "全部训练，最新的在前。";
    RunTitle: "Run {run}: {model}", "训练 {run}：{model}";
    TrainModel: "Train {model}", "训练 {model}";
    TrainAgain: "Train again", "重新训练";
    TrainFirst: "Train", "开始训练";
    Epoch: "Epoch", "轮次";
    Epochs: "Epochs", "轮数";
    OfAtMost: "of at most {count}", "最多 {count}";
    BestValidation: "Best validation", "最佳验证";
    Best: "Best", "最佳";
    BestSoFar: "Best", "最佳";
    Took: "Took", "用时";
    Started: "Started", "开始时间";
    Progress: "Progress", "进度";
    RunGrows: "This run is going on; the page follows it.", "训练正在进行，页面会自动更新。";
    StoppedHint: "This run can be resumed:", "该训练可以继续：";
    NoEpochs: "No epoch was finished.", "没有完成任何一轮。";
    TrainLoss: "Training loss", "训练损失";
    ValidationLoss: "Validation loss", "验证损失";
    ValidationOf: "{metric}, validation", "{metric}（验证集）";
    LearningCurves: "Learning curves", "学习曲线";
    LossByEpoch: "Loss by epoch", "每轮损失";
    MetricByEpoch: "{metric} by epoch", "每轮{metric}";
    LossSummary: "Over {epochs} epochs the training loss went from {first} to {last}; the validation loss ended at {validation}.", "经过 {epochs} 轮，训练损失从 {first} 变为 {last}；最终验证损失为 {validation}。";
    BestSummary: "{metric} on the validation rows was best in epoch {epoch}: {value}.", "验证集{metric}在第 {epoch} 轮最佳：{value}。";
    Stages: "Time by stage", "各阶段用时";
    StageCollect: "collect", "采集";
    StageAudit: "audit", "审查";
    StagePrepare: "prepare", "准备";
    StageTrain: "train", "训练";
    StageEvaluate: "evaluate", "评估";
    StageDeploy: "deploy", "部署";
    // -- models
    ModelsTitle: "Models", "模型";
    ModelsLead: "All versions, best first. The champion is the one that answers.", "全部版本，最好的在前。由当前冠军提供回答。";
    NoModels: "This project has no models yet.", "本项目还没有模型。";
    NoVersions: "Not trained yet.", "尚未训练。";
    VersionsOf: "Versions of {model}", "{model} 的版本";
    PredictTime: "Time per row", "每行用时";
    TrainTime: "Training", "训练用时";
    Created: "Made", "生成时间";
    Promote: "Promote", "设为冠军";
    PromoteVersion: "Make version {version} of {model} the champion", "将 {model} 的版本 {version} 设为冠军";
    Rollback: "Roll back", "回滚";
    RollbackHint: "Make the champion before this one the champion again", "恢复上一个冠军版本";
    // -- one model
    ModelTitle: "{model}, version {version}", "{model} 版本 {version}";
    ReportTitle: "{model}, version {version}", "{model} 版本 {version}";
    TheRun: "Its run", "对应的训练";
    Predicts: "predicts {target}", "预测 {target}";
    Summary: "Summary", "概要";
    Parameters: "Parameters", "参数量";
    Metrics: "Metrics", "指标";
    MetricsCaption: "The baseline on the test rows: {baseline}.", "测试集上的基线：{baseline}。";
    BaselineMajority: "answers the most frequent class", "总是回答最常见的类别";
    BaselineMean: "answers the mean", "总是回答均值";
    NoEvaluation: "This version was not evaluated.", "该版本没有评估结果。";
    Evaluation: "Evaluation", "评估";
    OnTestRows: "On the test rows, which the model never saw.", "基于模型从未见过的测试集。";
    OnValidationRows: "On the validation rows.", "基于验证集。";
    ConfusionMatrix: "Confusion matrix", "混淆矩阵";
    ConfusionCell: "truth {truth}, answer {answer}: {count}", "真实 {truth}，回答 {answer}：{count}";
    ConfusionSummary: "{right} of {all} answers were right.", "{all} 个回答中有 {right} 个正确。";
    ConfusionWorst: "Most often mistaken: {truth} taken for {answer}, {count} times.", "最常见的错误：把 {truth} 认作 {answer}，共 {count} 次。";
    TruthAnswer: "Truth \\ answer", "真实 \\ 回答";
    RocTitle: "ROC curve", "ROC 曲线";
    PrTitle: "Precision and recall", "精确率与召回率";
    FalsePositiveRate: "False positive rate", "假阳性率";
    TruePositiveRate: "True positive rate", "真阳性率";
    Chance: "Chance", "随机猜测";
    AreaSummary: "{area} from {least} ({label}) to {most}.", "{area}从 {least}（{label}）到 {most}。";
    Calibration: "Calibration", "校准";
    CalibrationSummary: "Stated and observed shares differ by {gap} on average.", "预测概率与实际比例平均相差 {gap}。";
    PredictedShare: "Stated probability", "预测概率";
    ObservedShare: "Observed share", "实际比例";
    ShareRight: "Share of right answers", "回答正确的比例";
    Perfect: "Perfect", "理想";
    TruthAndAnswer: "Truth and answer", "真实值与回答";
    ScatterSummary: "{count} rows; the nearer to the line, the better.", "{count} 行；越靠近直线越好。";
    Residual: "Truth minus answer", "真实值减回答";
    Residuals: "Errors", "误差分布";
    ResidualSummary: "The mean error is {mean}.", "平均误差为 {mean}。";
    ByClass: "By class", "按类别";
    ImportanceTitle: "What the answers rest on", "回答的依据";
    ImportanceLead: "How much worse the answers get when a column is shuffled, or a region of a picture blanked.", "打乱某一列，或遮住图片的某个区域后，回答会变差多少。";
    ImportanceCaption: "Importance of the columns", "各列的重要性";
    ImportanceSummary: "With {column} shuffled, {metric} gets worse by {drop}.", "打乱 {column} 后，{metric}变差 {drop}。";
    LostMetric: "{metric} gets worse by", "{metric}变差程度";
    RegionsCaption: "Regions of {column} that matter", "{column} 中起作用的区域";
    RegionsSummary: "With the most important region blanked, {metric} gets worse by {most}.", "遮住最重要的区域后，{metric}变差 {most}。";
    WorstTitle: "Worst errors", "最严重的错误";
    WorstLead: "The test rows whose answers were furthest from the truth.", "测试集中回答与真实值相差最大的行。";
    PictureOf: "Picture of row {row}, which is {truth}", "第 {row} 行的图片，真实值 {truth}";
    UsageTitle: "How to call it", "如何调用";
    UsageLead: "The endpoint takes one row or a list of rows as JSON.", "端点接受 JSON 格式的一行或多行数据。";
    ByCurl: "On the command line", "命令行";
    ByPython: "In Python", "Python 代码";
    FeaturesAndSettings: "Features and settings", "特征与设置";
    FeaturesCaption: "How each column is prepared", "各列的处理方式";
    Feature: "Feature", "特征";
    How: "How", "方式";
    // -- try it
    TryTitle: "Try {endpoint}", "试用 {endpoint}";
    TryLead: "Fill in a row and see what the model answers for {target}.", "填写一行数据，查看模型对 {target} 的回答。";
    TryInput: "Input", "输入";
    TryAsk: "Ask the model", "提交给模型";
    TryAnswer: "Answer", "回答";
    TryNoAnswer: "Nothing asked yet.", "尚未提交。";
    TryCommand: "The same on the command line", "等价的命令行";
    TryCommandLead: "It follows what you fill in.", "命令会随输入内容更新。";
    TryNeedsScript: "This form needs JavaScript; the command below works without it.", "此表单需要 JavaScript；下面的命令则不需要。";
    ThresholdNote: "The second class is answered from a probability of {threshold} on.", "概率达到 {threshold} 时回答第二个类别。";
    HintRange: "{min} to {max} in training", "训练数据范围：{min} 至 {max}";
    HintSeries: "{steps} numbers, oldest first, with commas between them; {min} to {max} in training", "{steps} 个数，最早的在前，用逗号分隔；训练数据范围：{min} 至 {max}";
    HintValues: "one of {count} known values", "已知 {count} 个取值";
    NoValue: "(no value)", "（空）";
    DrawHere: "Drawing pad; without a pointer, upload a file or choose a picture instead", "手绘区；无法手绘时，请上传文件或选择图片";
    DrawHint: "Draw with mouse, finger or pen.", "用鼠标、手指或触控笔书写。";
    Clear: "Clear", "清空";
    Upload: "Or upload a picture", "或上传图片";
    OrChoose: "Or choose one:", "或选择一张：";
    Sample: "Use picture {number}", "使用第 {number} 张图片";
    ModelSees: "What the model sees ({size} pixels)", "模型看到的图像（{size} 像素）";
    PreviewAlt: "The picture as it is sent", "将要发送的图片";
    // -- metrics
    MetricAccuracy: "accuracy", "准确率";
    MetricBalancedAccuracy: "balanced accuracy", "平衡准确率";
    MetricAuc: "area under ROC", "ROC 曲线下面积";
    MetricAveragePrecision: "average precision", "平均精确率";
    MetricF1: "F1", "F1 值";
    MetricPrecision: "precision", "精确率";
    MetricRecall: "recall", "召回率";
    MetricLogLoss: "log loss", "对数损失";
    MetricBrier: "Brier score", "Brier 分数";
    MetricCalibrationError: "calibration error", "校准误差";
    MetricRmse: "root mean squared error", "均方根误差";
    MetricMae: "mean absolute error", "平均绝对误差";
    MetricMedianAbsoluteError: "median absolute error", "绝对误差中位数";
    MetricR2: "R²", "决定系数 R²";
    MetricMape: "mean absolute percentage error", "平均绝对百分比误差";
    MetricMse: "mean squared error", "均方误差";
    MetricLoss: "loss", "损失";
    MeanMacro: "{metric}, mean of the classes", "{metric}（各类平均）";
    MeanWeighted: "{metric}, weighted by rows", "{metric}（按行数加权）";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn placeholders(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).map(|part| part.split('}').next().unwrap_or_default()).collect()
    }

    #[test]
    fn both_languages_say_everything_with_the_same_placeholders() {
        for (place, (word, english, chinese)) in WORDS.iter().enumerate() {
            assert_eq!(*word as usize, place);
            assert!(!english.trim().is_empty() && !chinese.trim().is_empty(), "{word:?} is empty");
            assert_eq!(placeholders(english), placeholders(chinese), "{word:?}");
            let foreign = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
            assert!(!english.chars().any(foreign), "{word:?} has Chinese in English");
            let name = ["F1", "R²", "Python", "ROC"].iter().any(|name| chinese.contains(name));
            assert!(chinese.chars().any(foreign) || name, "{word:?} has no Chinese");
        }
    }

    #[test]
    fn a_value_is_not_looked_into_for_placeholders() {
        let said = Lang::En.fill(Word::RunTitle, &[("run", "{model}"), ("model", "<b>{run}</b>")]);
        assert_eq!(said, "Run {model}: <b>{run}</b>");
        assert_eq!(Lang::Zh.fill(Word::RowsCount, &[]), "{count} 行");
    }

    #[test]
    fn the_language_follows_the_readers_wish() {
        let check = |header: &str, lang: Lang| assert_eq!(Lang::from_header(header), lang, "{header}");
        check("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh);
        check("de-DE,de;q=0.9,en;q=0.5,zh;q=0.7", Lang::Zh);
        check("en-US,en;q=0.9,zh;q=0.8", Lang::En);
        check("fr", Lang::En);
        check("zh;q=0", Lang::En);
        check("", Lang::En);
        assert_eq!((Lang::from_code("ZH-Hans"), Lang::from_code("xx")), (Lang::Zh, Lang::En));
    }
}
