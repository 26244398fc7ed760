namespace XenModel.Domains;

/// <summary>Which Xen the model is: device-model operations differ.</summary>
public enum Architecture
{
    X86,
    Arm,
}
